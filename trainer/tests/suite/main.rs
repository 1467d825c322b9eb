//! End-to-end tests of the trainer on phantoms. `support` makes data sets and runs commands.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops where something fails that should not, and says what it skips"
)]

mod command;
mod data_path;
mod fitness;
mod folds;
mod gpu_check;
mod init;
mod measurement;
mod networks;
mod newcomer;
mod outputs;
mod own_data;
mod patients;
mod quantised;
mod recalibration;
mod recorder;
mod release;
mod robustness;
mod screening;
mod serving;
mod silence;
mod site;
mod support;
mod tracking;
mod training;
mod truth;
mod tuning;
