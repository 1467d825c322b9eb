//! The load generator, for every measurement through HTTP: closed and open loops of one thread, which counts what ends
//! inside a window.

mod client;
mod forms;
mod traffic;

pub(crate) use client::{Target, put};
pub(crate) use forms::forms;
pub(crate) use traffic::{Cpu, Measurement, Traffic, Window, arrivals};
