//! The HTTP interface: every answer, every refusal, and what each leaves in the audit log.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod auth;
mod bad_input;
mod bit_depth;
mod client_limits;
mod compatibility;
mod connection_limits;
mod connections;
mod contract;
mod decisions;
mod exports;
mod fhir;
mod heatmaps;
mod http_conformance;
mod labels;
mod memory;
mod model_state;
mod monitoring;
mod multipart;
mod oidc;
mod phi;
mod predictions;
mod refusal_delay;
mod retries;
mod schemathesis;
mod search;
mod startup;
mod tiff;
mod tls;
