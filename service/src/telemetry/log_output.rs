//! Log output: a bounded queue and a writing thread. Lines that cannot be written are dropped and counted.

use crate::threads;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Length of the queue: about 4 MB of request lines.
const MAX_WAITING_LINES: usize = 10_000;

/// How long the process waits at its end for the queue to empty.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines that found the queue full.
static OVERFLOWED: OnceLock<ErrorCounter> = OnceLock::new();
/// Lines that could not be written to standard error.
static FAILED: AtomicU64 = AtomicU64::new(0);

pub(super) fn lines_dropped() -> u64 {
    let overflowed = OVERFLOWED.get().map_or(0, ErrorCounter::dropped_lines);
    FAILED.load(Ordering::Relaxed) + overflowed as u64
}

/// Keeps the log open; dropping it writes the lines in the queue.
#[must_use = "dropping it ends the log"]
pub struct LogGuard(Option<WorkerGuard>);

impl Drop for LogGuard {
    /// The library's guard waits for at most a second, but then reports on standard output, whose reader may
    /// have stalled as well. The thread that waits for it is then left behind.
    fn drop(&mut self) {
        let guard = self.0.take();
        threads::within(FLUSH_TIMEOUT, move || drop(guard));
    }
}

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

/// Accepts every line and counts those that cannot be written. The library passes one whole line per call.
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
