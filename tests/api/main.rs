//! The HTTP interface from outside: every answer, every refusal, and what each leaves in the audit log.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod auth;
mod bad_input;
mod connections;
mod contract;
mod exports;
mod fhir;
mod labels;
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
