//! Libraries that stand in front of what another program asks of the system.

use crate::root;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds a C file of the repository into a folder; the library's path, for `LD_PRELOAD`.
pub fn build(source: &str, folder: &Path) -> PathBuf {
    let source = root().join(source);
    let library = folder.join(source.file_stem().expect("a file's name")).with_extension("so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(command.status().expect("cc runs").success());
    // Whoever Postgres runs as must be able to read it.
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("our own folder");
    library
}
