//! Standard output: what a command was asked for, and nothing else. Logs go to standard error.

use std::io::Write;

/// Prints one line; a reader that has gone away (`| head`) is no error.
pub fn print(line: impl std::fmt::Display) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints one line on standard error: why a command failed.
pub fn complain(line: impl std::fmt::Display) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
