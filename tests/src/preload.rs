//! Libraries that intercept system calls of another program, for `LD_PRELOAD`.

use crate::root;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a C file of the repository into a folder and returns the path of the library.
pub fn build(source: &str, folder: &Path) -> PathBuf {
    let source = root().join(source);
    let library = folder.join(source.file_stem().expect("a file's name")).with_extension("so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(command.status().expect("cc runs").success());
    // The system user that runs Postgres must be able to read it.
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("our own folder");
    library
}
