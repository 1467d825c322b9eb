//! The trainer on phantoms: learns, resumes, exports, refuses. One binary; `support` makes datasets and runs programs.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails that should not")]

mod audit;
mod command;
mod folds;
mod networks;
mod soup;
mod robustness;
mod release;
mod support;
mod tracking;
mod training;
mod tuning;
