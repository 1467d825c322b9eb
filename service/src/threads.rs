//! Threads of our own, and how nice they are to the rest of the host.

use std::sync::mpsc::channel;
use std::time::Duration;

/// A job's panic; the place is in the log.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the job panicked or its threads are gone")]
pub struct JobLost;

/// What computes for milliseconds gives way to what decides in microseconds: under full load the door still answers.
pub const COMPUTING: i32 = 5;

/// What nobody waits for gives way to both.
pub const IN_THE_BACKGROUND: i32 = 15;

/// Starts a thread with a niceness (0 is ordinary, 19 the nicest).
///
/// # Errors
/// When the system refuses a thread.
pub fn spawn(name: String, niceness: i32, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let work = move || {
        // Linux counts niceness by thread. Where it is refused the thread works all the same.
        if niceness != 0 && rustix::process::setpriority_process(None, niceness).is_err() {
            tracing::debug!(niceness, "could not lower the thread's priority");
        }
        work();
    };
    std::thread::Builder::new().name(name).spawn(work).map(|_| ())
}

/// Does something that may never end, and stops waiting for it in time.
pub fn within(timeout: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let work = move || {
        work();
        // Nothing waits any more when it took too long.
        let _ = done.send(());
    };
    if std::thread::Builder::new().name("last words".into()).spawn(work).is_ok() {
        let _ = ended.recv_timeout(timeout);
    }
}
