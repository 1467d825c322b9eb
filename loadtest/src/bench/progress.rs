//! What the benchmark says while it runs: lines on stderr, so that stdout holds the table alone.

use std::fmt::Arguments;
use std::io::Write;

/// Says one line of progress.
pub(super) fn say(line: Arguments) {
    // A terminal that has gone away must not end a measurement.
    let _ = writeln!(std::io::stderr(), "bench: {line}");
}

/// Prints a line of the answer.
pub(super) fn answer(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
