//! What handlers take from a request: the upload, its statements, the query and the headers of ours.

pub(super) mod admission;
pub(super) mod deadline;
mod header;
pub(super) mod idempotency;
pub(super) mod media;
pub(super) mod multipart;
pub(super) mod query;
pub(super) mod reader;
pub(super) mod row_id;
pub(super) mod subject;
pub(super) mod upload;
