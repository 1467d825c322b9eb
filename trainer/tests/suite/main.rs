//! The trainer on phantoms: learns, resumes, exports, refuses. One binary; `support` makes datasets and runs programs.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails that should not")]

mod command;
mod folds;
mod measurement;
mod networks;
mod support;
mod training;
mod tuning;
