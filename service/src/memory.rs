//! Memory that images may take: reserved before it is allocated, because an allocation that fails ends the process.

use crate::config::limits::LimitsConfig;
use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unit of a reservation.
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// With less for decoding, hardly an image could be read.
const LEAST_FOR_DECODING: u64 = 32 * MIB;

/// What the system leaves this process, and which limit that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// Bytes.
    pub bytes: u64,
    /// The limit.
    pub of: &'static str,
}

/// What images may take.
#[derive(Debug, Clone)]
pub struct ImageMemory {
    /// Bodies that are arriving or wait for their answer.
    pub uploads: Budget,
    /// Bytes for pixels that are being decoded.
    pub decoding: u64,
}

/// A part of the memory; those who ask are served in order.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    total_kib: u32,
}

/// Memory that is spoken for, until it is dropped.
#[derive(Debug)]
pub struct Reserved(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// The memory is too small for the service.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} MiB are left for decoding images ({limit}), but the service needs at least {}: provide more memory, or set \
     service.limits.decode_memory_mb",
    .found / MIB, LEAST_FOR_DECODING / MIB
)]
pub struct TooLittle {
    found: u64,
    limit: &'static str,
}

impl ImageMemory {
    /// As configured; what is not follows from what the system leaves. Half of that may hold pixels and a quarter uploads; the rest is
    /// for everything else, and for what the allocator cannot use.
    ///
    /// # Errors
    /// When there is too little.
    pub fn new(limits: &LimitsConfig) -> Result<Self, TooLittle> {
        let headroom = headroom();
        let useful = cxr::decode::cost::most(&limits.decode()) * limits.decode_threads.get() as u64;
        let mebibytes = |set: u32| u64::from(set) * MIB;
        // Small images need little, but a host that leaves less than this is too small.
        let derived = (headroom.bytes / 2).min(useful.max(LEAST_FOR_DECODING));
        let decoding = limits.decode_memory_mb.map_or(derived, |set| mebibytes(set.get()));
        if decoding < LEAST_FOR_DECODING {
            return Err(TooLittle { found: decoding, limit: headroom.of });
        }
        let useful = limits.max_bytes.get() as u64 * limits.max_in_flight.get() as u64;
        let derived = (headroom.bytes / 4).min(useful).max(limits.max_bytes.get() as u64);
        let uploads = limits.upload_memory_mb.map_or(derived, |set| mebibytes(set.get()));
        if decoding < cxr::decode::cost::most(&limits.decode()) {
            tracing::warn!(
                decode_memory_mb = decoding / MIB,
                limit = headroom.of,
                "decode memory is too small for images of max_pixels; such images are rejected"
            );
        }
        tracing::info!(
            decode_memory_mb = decoding / MIB,
            upload_memory_mb = uploads / MIB,
            left_mb = headroom.bytes / MIB,
            limit = headroom.of,
            "image memory"
        );
        Ok(Self { uploads: Budget::new(uploads), decoding })
    }
}

impl Budget {
    /// Of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let total_kib = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(total_kib as usize)), total_kib }
    }

    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        u64::from(self.total_kib) * KIB
    }

    /// Waits for so many bytes, or for all there are if that is less.
    pub async fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX).min(self.total_kib);
        Arc::clone(&self.free).acquire_many_owned(kib).await.ok().map(Reserved)
    }
}

/// The tightest of: the control group's memory, the limits of the address space and of data, the host's memory.
fn headroom() -> Headroom {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let used = |field: &str| kilobytes(&status, field).unwrap_or(0);
    let rlimit = |resource, field| Some(getrlimit(resource).current?.saturating_sub(used(field)));
    let host = kilobytes(&read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:");
    let limits = [
        ("the host's memory", host.map(|total| total.saturating_sub(used("VmRSS:")))),
        ("the control group's memory.max", group().map(|most| most.saturating_sub(used("VmRSS:")))),
        ("ulimit -v", rlimit(Resource::As, "VmSize:")),
        ("ulimit -d", rlimit(Resource::Data, "VmData:")),
    ];
    let known = limits.into_iter().filter_map(|(of, bytes)| Some(Headroom { bytes: bytes?, of }));
    known.min_by_key(|headroom| headroom.bytes).unwrap_or(Headroom { bytes: u64::MAX, of: "no limit" })
}

/// A line such as `VmRSS:     1234 kB`, in bytes.
fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * KIB)
}

/// The smallest limit from this process's control group up to the root: version 2, or the memory controller of version 1.
fn group() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let limits = groups.lines().filter_map(|line| {
        let (_, controllers_and_path) = line.split_once(':')?;
        let (root, file, path) = match controllers_and_path.split_once(':')? {
            ("", path) => ("/sys/fs/cgroup", "memory.max", path),
            (list, path) if list.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path)
            }
            _ => return None,
        };
        // In a container the group's own path may not be visible; its root is.
        let parts = std::path::Path::new(path).ancestors();
        let files =
            parts.map(|part| format!("{root}{}/{file}", part.display().to_string().trim_end_matches('/')));
        files.filter_map(|file| read_to_string(file).ok()?.trim().parse::<u64>().ok()).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_for_too_much_waits_for_all_and_is_served_in_order() {
        let budget = Budget::new(100 * KIB);
        assert_eq!(budget.total_bytes(), 100 * KIB);
        let first = budget.reserve(60 * KIB).await.unwrap();
        let large = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(u64::MAX).await.unwrap() }
        });
        tokio::task::yield_now().await;
        let small = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(KIB).await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert!(!large.is_finished() && !small.is_finished());
        drop(first);
        let large = large.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!small.is_finished());
        drop(large);
        drop(small.await.unwrap());
    }

    #[test]
    fn a_limit_is_found() {
        let found = headroom();
        assert!(found.bytes > MIB && found.bytes < 1 << 50, "{found:?}");
        assert_eq!(kilobytes("VmPeak:\t 10 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * KIB));
    }
}
