//! JavaScript programs of the tests.

use crate::{root, skipped};
use std::path::PathBuf;
use std::process::Command;

/// Installs `tests/NAME` with its packages and returns the folder; `None`, and a message, without Node.js.
///
/// # Panics
/// When it cannot be installed, or may not be skipped.
pub fn install(name: &str) -> Option<PathBuf> {
    let installed =
        Command::new(root().join("scripts/npm-install.sh")).arg(name).output().expect("bash runs");
    let stderr = String::from_utf8_lossy(&installed.stderr);
    if installed.status.code() == Some(3) {
        skipped(stderr.trim());
        return None;
    }
    assert!(installed.status.success(), "{stderr}");
    Some(PathBuf::from(String::from_utf8_lossy(&installed.stdout).trim()))
}
