//! Middleware: what happens to every request before its handler, and to every answer after it.

pub(super) mod access;
pub(super) mod cors;
pub(super) mod delay;
pub(super) mod observe;
pub(super) mod response_headers;
pub(super) mod target;
