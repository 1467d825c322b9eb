//! Commands that are more than a call: one file a topic.

pub mod audit;
mod export;
mod replay;
mod subjects;
mod verify;
