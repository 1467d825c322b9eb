//! Standard output and standard error of commands: what was asked for, and why it failed. The log has its own way (telemetry).

use crate::threads;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

/// Prints one line; a reader that has gone away (`| head`) is no error.
pub fn print(line: impl std::fmt::Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Prints one line on standard error.
pub fn complain(line: impl std::fmt::Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Says why the program ends. It ends all the same where nothing reads that.
pub fn last_words(line: impl std::fmt::Display) {
    let line = line.to_string();
    threads::within(Duration::from_secs(2), move || complain(line));
}

/// The reader of standard output has gone away before the end (`| head`).
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the reader of standard output has gone away")]
pub struct ReaderGone;

impl ReaderGone {
    /// Whether that is what an error comes from. A connection to the database that broke is another thing.
    pub fn caused(error: &anyhow::Error) -> bool {
        let gone = |cause: &(dyn Error + 'static)| {
            let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            inner.is_some_and(|inner| inner.downcast_ref::<Self>().is_some())
        };
        error.chain().any(gone)
    }
}

/// Standard output for much text; a reader that has gone away is told apart from every other error.
pub struct Output(io::Stdout);

impl Output {
    /// Of this process.
    pub fn new() -> Self {
        Self(io::stdout())
    }
}

impl Default for Output {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(told_apart)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told_apart)
    }
}

fn told_apart(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::other(ReaderGone) } else { error }
}
