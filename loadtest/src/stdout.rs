//! The one place that writes to the terminal.

use std::io::Write;

/// Prints one line; a reader that has gone away (`| head`) is no error.
pub(crate) fn say(line: impl std::fmt::Display) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
