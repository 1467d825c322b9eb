//! The HTTP interface from outside: every answer, every refusal, and what each leaves in the audit log.

mod auth;
mod bad_input;
mod contract;
mod predictions;
mod startup;
