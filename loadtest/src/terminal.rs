//! Output to the terminal: results on stdout, progress on stderr.

use std::fmt::Display;
use std::io::Write;

/// Prints one line of a result. A closed pipe (`| head`) is not an error.
pub(crate) fn print(line: impl Display) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints one line of progress. A closed terminal must not end a measurement.
pub(crate) fn progress(line: impl Display) {
    note("bench", line);
}

/// Prints one line of progress of a command.
pub(crate) fn note(command: &str, line: impl Display) {
    drop(writeln!(std::io::stderr(), "{command}: {line}"));
}
