//! Memory for uploads and pixels. It is reserved before it is allocated, because a failed allocation aborts
//! the process.

use crate::config::limits::LimitsConfig;
use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// With less, most images could not be decoded.
const MIN_DECODING: u64 = 32 * MIB;

/// Memory that this process may still take, and the limit that decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Headroom {
    bytes: u64,
    limit: &'static str,
}

#[derive(Debug, Clone)]
pub struct ImageMemory {
    /// For uploads, from their first byte to their answer.
    pub uploads: Budget,
    /// Bytes for decoding.
    pub decoding: u64,
}

/// Memory to reserve from; reservations wait in order.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    total_kib: u32,
}

/// Reserved memory; dropping it returns it.
#[derive(Debug)]
pub struct Reserved(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

#[derive(Debug, thiserror::Error)]
#[error(
    "{} MiB are left for decoding images ({limit}), but the service needs at least {}: provide more memory, or \
     set service.limits.decode_memory_mb",
    .found / MIB, MIN_DECODING / MIB
)]
pub struct TooLittle {
    found: u64,
    limit: &'static str,
}

impl ImageMemory {
    /// The configured budgets. Without configuration, half of the headroom for decoding and a quarter for
    /// uploads; the rest is for everything else and for fragmentation.
    pub fn new(limits: &LimitsConfig) -> Result<Self, TooLittle> {
        let headroom = headroom();
        let useful = cxr::decode::cost::most(&limits.decode()) * limits.decode_threads.get() as u64;
        let mebibytes = |set: u32| u64::from(set) * MIB;
        // With small images `useful` can be less than the minimum.
        let derived = (headroom.bytes / 2).min(useful.max(MIN_DECODING));
        let decoding = limits.decode_memory_mb.map_or(derived, |set| mebibytes(set.get()));
        if decoding < MIN_DECODING {
            return Err(TooLittle { found: decoding, limit: headroom.limit });
        }
        let useful = limits.max_bytes.get() as u64 * limits.max_in_flight.get() as u64;
        let derived = (headroom.bytes / 4).min(useful).max(limits.max_bytes.get() as u64);
        let uploads = limits.upload_memory_mb.map_or(derived, |set| mebibytes(set.get()));
        if decoding < cxr::decode::cost::most(&limits.decode()) {
            tracing::warn!(
                decode_memory_mb = decoding / MIB,
                limit = headroom.limit,
                "decode memory is too small for images of max_pixels; such images are rejected"
            );
        }
        tracing::info!(
            decode_memory_mb = decoding / MIB,
            upload_memory_mb = uploads / MIB,
            left_mb = headroom.bytes / MIB,
            limit = headroom.limit,
            "image memory"
        );
        Ok(Self { uploads: Budget::new(uploads), decoding })
    }
}

impl Budget {
    /// Rounds down to whole KiB.
    pub fn new(bytes: u64) -> Self {
        let total_kib = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(total_kib as usize)), total_kib }
    }

    pub fn total_bytes(&self) -> u64 {
        u64::from(self.total_kib) * KIB
    }

    /// Waits for `bytes`, at most for the whole budget.
    pub async fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX).min(self.total_kib);
        Arc::clone(&self.free).acquire_many_owned(kib).await.ok().map(Reserved)
    }
}

/// The lowest of: memory of the host, memory of the control group, `ulimit -v`, `ulimit -d`.
fn headroom() -> Headroom {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let used = |field: &str| kilobytes(&status, field).unwrap_or(0);
    let rlimit = |resource, field| Some(getrlimit(resource).current?.saturating_sub(used(field)));
    let host = kilobytes(&read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:");
    let limits = [
        ("the host's memory", host.map(|total| total.saturating_sub(used("VmRSS:")))),
        (
            "the control group's memory.max",
            control_group_limit().map(|limit| limit.saturating_sub(used("VmRSS:"))),
        ),
        ("ulimit -v", rlimit(Resource::As, "VmSize:")),
        ("ulimit -d", rlimit(Resource::Data, "VmData:")),
    ];
    let known = limits.into_iter().filter_map(|(limit, bytes)| Some(Headroom { bytes: bytes?, limit }));
    known.min_by_key(|headroom| headroom.bytes).unwrap_or(Headroom { bytes: u64::MAX, limit: "no limit" })
}

/// A line such as `VmRSS:     1234 kB`, in bytes.
fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * KIB)
}

/// The lowest memory limit from this process's control group up to the root (cgroup v2, or the v1 memory
/// controller).
fn control_group_limit() -> Option<u64> {
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
        // In a container the group's own path may be invisible, but the root is not.
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
    async fn reservations_are_capped_at_the_budget_and_served_in_order() {
        let budget = Budget::new(100 * KIB);
        assert_eq!(budget.total_bytes(), 100 * KIB);
        let first = budget.reserve(60 * KIB).await.unwrap();
        let reserve = |bytes| {
            let budget = budget.clone();
            tokio::spawn(async move { budget.reserve(bytes).await.unwrap() })
        };
        let large = reserve(u64::MAX);
        tokio::task::yield_now().await;
        let small = reserve(KIB);
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
