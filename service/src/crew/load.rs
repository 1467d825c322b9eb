//! What a large job takes.

use std::sync::Arc;

/// Work that the smallest image is: what is done for each, whatever its size.
const LEAST_WORK: u64 = 256 << 10;
/// Decompressing a byte takes about as long as touching so many bytes of pixels.
const WORK_OF_A_BYTE: u64 = 4;

/// What a large job is counted as.
#[derive(Debug, Clone)]
pub struct Load {
    /// Whose it is: clients take turns.
    pub client: Arc<str>,
    /// Bytes that it may take while it runs; more than there are is all of them.
    pub memory: u64,
    /// Processor time that it may take, in bytes of pixels that are touched.
    pub work: u64,
}

impl Load {
    /// Of decoding an upload of so many bytes that needs so much memory.
    pub fn decoding(client: &str, upload: usize, memory: u64) -> Self {
        let upload = WORK_OF_A_BYTE.saturating_mul(upload as u64);
        Self { client: client.into(), memory, work: LEAST_WORK.saturating_add(memory).saturating_add(upload) }
    }
}
