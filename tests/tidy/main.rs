//! The rules of the house as failing tests: who may name what, what every file and crate has.
//!
//! A rule that stands only in a document drifts. Nothing here may be loosened by a list of exceptions.

mod direction;
mod fences;
mod files;
mod prose;
mod references;

use std::path::{Path, PathBuf};
use system_tests::root;

/// Files of the repository as git knows them, so that build products play no part.
fn tracked(suffix: &str) -> Vec<PathBuf> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let listing = String::from_utf8(output.stdout).expect("UTF-8 paths");
    let files: Vec<PathBuf> = listing
        .lines()
        .filter(|path| path.ends_with(suffix))
        .map(PathBuf::from)
        .filter(|p| root().join(p).exists())
        .collect();
    assert!(!files.is_empty(), "no {suffix} files: this must run in a git checkout");
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).expect("a tracked text file")
}
