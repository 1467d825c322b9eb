//! Rebuilds the program when a migration is added: the macro that embeds them does not notice new files.

use std::io::Write;

fn main() {
    drop(writeln!(std::io::stdout(), "cargo:rerun-if-changed=../migrations"));
}
