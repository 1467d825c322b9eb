//! The load generator of all measurements over HTTP: closed and open loops, measured in a window.

mod client;
mod traffic;

pub(crate) use client::{Target, forms, run};
pub(crate) use traffic::{Cpu, Measurement, Traffic, Window, arrivals};
