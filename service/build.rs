//! Rebuilds the program when a migration is added: the macro that embeds them sees only the files that were there.

use std::io::Write;

fn main() {
    drop(writeln!(std::io::stdout(), "cargo:rerun-if-changed=../migrations"));
}
