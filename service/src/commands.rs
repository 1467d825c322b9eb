//! Commands that are more than a call: one file a topic.

pub mod audit;
pub mod bundle;
pub mod check;
mod export;
mod replay;
mod subjects;
mod verify;
