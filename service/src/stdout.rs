//! Standard output and standard error of commands. The log has its own output (`telemetry::log_output`).

use crate::threads;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

/// Prints one line. A closed pipe (`| head`) is not an error.
pub fn print(line: impl std::fmt::Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Prints one line on standard error.
pub fn print_stderr(line: impl std::fmt::Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Prints why the program ends, and does not wait for a stalled reader.
pub fn print_final_error(line: impl std::fmt::Display) {
    let line = line.to_string();
    threads::within(Duration::from_secs(2), move || print_stderr(line));
}

/// The reader of standard output closed the pipe (`| head`).
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the reader of standard output has gone away")]
pub struct ReaderGone;

impl ReaderGone {
    /// Whether this is the cause of an error. A broken connection to the database is not.
    pub fn caused(error: &anyhow::Error) -> bool {
        let gone = |cause: &(dyn Error + 'static)| {
            let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            inner.is_some_and(|inner| inner.downcast_ref::<Self>().is_some())
        };
        error.chain().any(gone)
    }
}

/// Standard output whose errors tell a closed pipe apart from everything else.
pub struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(classified)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(classified)
    }
}

fn classified(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::other(ReaderGone) } else { error }
}
