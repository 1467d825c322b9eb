//! The job of monitoring on a real Postgres: windows, takeovers, faults, labels, and an alarm from its
//! baseline to its end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod alarm;
mod bulk;
mod faults;
mod takeover;
mod windows;
