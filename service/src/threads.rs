//! Starts threads with a niceness, so that computing does not delay answering.

use std::sync::mpsc::channel;
use std::time::Duration;

/// The panic hook has logged a panic.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the job panicked or its threads are gone")]
pub struct JobLost;

/// Niceness of decoding and of models: under full load, admission still answers.
pub const COMPUTING: i32 = 5;

/// Niceness of work that no client waits for.
pub const IN_THE_BACKGROUND: i32 = 15;

/// Starts a thread with a niceness from 0, the default, to 19, the lowest priority.
pub fn spawn(name: String, niceness: i32, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let work = move || {
        // Linux applies niceness per thread. If it is refused, the thread works at the default.
        if niceness != 0 && rustix::process::setpriority_process(None, niceness).is_err() {
            tracing::debug!(niceness, "could not lower the thread's priority");
        }
        work();
    };
    std::thread::Builder::new().name(name).spawn(work).map(|_| ())
}

/// Runs `work`, which may never end, and waits for it at most for `timeout`.
pub fn within(timeout: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let work = move || {
        work();
        // The receiver is gone after the timeout.
        let _ = done.send(());
    };
    if std::thread::Builder::new().name("last words".into()).spawn(work).is_ok() {
        let _ = ended.recv_timeout(timeout);
    }
}
