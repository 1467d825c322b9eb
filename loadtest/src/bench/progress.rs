//! Progress on stderr, so that stdout holds only the table.

use std::fmt::Arguments;
use std::io::Write;

pub(super) fn say(line: Arguments) {
    // A closed terminal must not end a measurement.
    let _ = writeln!(std::io::stderr(), "bench: {line}");
}
