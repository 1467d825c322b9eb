//! The resources that a large job takes.

use std::sync::Arc;

/// Work of the smallest image, in bytes of pixels.
const MIN_WORK: u64 = 256 << 10;
/// Decompressing a byte takes about as long as touching this many bytes of pixels.
const WORK_PER_BYTE: u64 = 4;

/// Memory and work of a large job.
#[derive(Debug, Clone)]
pub struct Load {
    /// Client of the job; clients take turns.
    pub client: Arc<str>,
    /// Bytes that it may allocate; capped to the memory of the pool.
    pub memory: u64,
    /// Processor time that it may take, in bytes of pixels touched.
    pub work: u64,
}

impl Load {
    /// The load of decoding an upload of `upload` bytes that needs `memory` bytes.
    pub fn decoding(client: &str, upload: usize, memory: u64) -> Self {
        let upload = WORK_PER_BYTE.saturating_mul(upload as u64);
        Self { client: client.into(), memory, work: MIN_WORK.saturating_add(memory).saturating_add(upload) }
    }
}
