//! The load generator for all measurements over HTTP: closed and open loops on one thread, measured in a
//! window.

mod client;
mod traffic;

pub(crate) use client::{Target, forms, run};
pub(crate) use traffic::{Cpu, Measurement, Traffic, Window, arrivals};
