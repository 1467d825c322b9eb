//! The HTTP interface from outside: every answer, every refusal, and what each leaves in the audit log.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod auth;
mod bad_input;
mod clients;
mod connections;
mod contract;
mod crowds;
mod depth;
mod edges;
mod exports;
mod fhir;
mod forms;
mod heatmaps;
mod labels;
mod manners;
mod memory;
mod oidc;
mod phi;
mod predictions;
mod quota;
mod retries;
mod schemathesis;
mod search;
mod startup;
mod tiff;
mod tls;
mod verdicts;
