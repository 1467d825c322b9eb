//! The longer commands, one file per topic.

pub mod audit;
pub mod bundle;
pub mod check;
mod export;
pub mod model_state;
mod replay;
mod subjects;
mod verify;
