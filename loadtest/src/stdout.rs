//! The only place that writes to standard output.

use std::io::Write;

/// Prints one line. A closed pipe (`| head`) is not an error.
pub(crate) fn print(line: impl std::fmt::Display) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
