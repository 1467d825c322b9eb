//! Extractors: slots, deadline, idempotency key, patient, query, row id and upload.

pub(super) mod admission;
pub(super) mod audited_read;
pub(super) mod deadline;
mod header;
pub(super) mod idempotency;
pub(super) mod media;
pub(super) mod multipart;
pub(super) mod query;
pub(super) mod row_id;
pub(super) mod subject;
pub(super) mod upload;
