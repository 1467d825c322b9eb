//! Where log lines go: a bounded queue in front of one thread that writes to standard error. Logging never blocks the service, never
//! fails it and never ends it: what cannot be written is dropped and counted.

use crate::threads;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait while the reader is slow: about 4 MB of request lines. More are dropped.
const MAX_WAITING_LINES: usize = 10_000;

/// How long the end of the process waits for lines that are still in the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines for which the queue had no room.
static OVERFLOWED: OnceLock<ErrorCounter> = OnceLock::new();
/// Lines that standard error did not take.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Log lines of this process that were not written.
pub(super) fn lines_dropped() -> u64 {
    let overflowed = OVERFLOWED.get().map_or(0, ErrorCounter::dropped_lines);
    FAILED.load(Ordering::Relaxed) + overflowed as u64
}

/// Keeps the log open; lines that wait are written when it is dropped.
#[must_use = "dropping it ends the log"]
pub struct LogGuard(Option<WorkerGuard>);

impl Drop for LogGuard {
    /// The library's guard waits for a second at most, but it says on standard output when that was not enough, and standard output may
    /// have a stalled reader as well. Hence a thread that is left behind.
    fn drop(&mut self) {
        let guard = self.0.take();
        threads::within(FLUSH_TIMEOUT, move || drop(guard));
    }
}

/// The queue and what keeps its thread alive.
///
/// # Errors
/// When standard error cannot be duplicated: the process has no file descriptor left.
pub(super) fn open() -> io::Result<(NonBlocking, LogGuard)> {
    // A descriptor of its own: a stalled write holds no lock that `io::stderr` would wait for.
    let standard_error = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .thread_name("log")
        .finish(BestEffort(standard_error));
    OVERFLOWED.get_or_init(|| lines.error_counter());
    Ok((lines, LogGuard(Some(guard))))
}

/// Takes every line; one that the file does not take is counted. The library gets a whole line a call.
struct BestEffort<W>(W);

impl<W: Write> Write for BestEffort<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            FAILED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
