//! Extractors: admission, headers, query, row id and upload.

pub(super) mod admission;
pub(super) mod audited_read;
pub(super) mod headers;
pub(super) mod media;
pub(super) mod multipart;
pub(super) mod query;
pub(super) mod row_id;
pub(super) mod upload;
