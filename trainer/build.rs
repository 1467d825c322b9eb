//! Passes the versions of libtorch and the compiler to the program, and links with the path of libtorch.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    // Set by torch-sys: the folder that it links against.
    let libraries = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let version = libraries
        .as_deref()
        .and_then(Path::parent)
        .and_then(|root| std::fs::read_to_string(root.join("build-version")).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
    println!("cargo:rustc-env=LIBTORCH_VERSION={version}");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let compiler = output.map_or_else(
        |_| "unknown".to_owned(),
        |o| String::from_utf8_lossy(&o.stdout).trim().trim_start_matches("rustc ").to_owned(),
    );
    println!("cargo:rustc-env=RUSTC_VERSION={compiler}");
    if let Some(libraries) = libraries {
        // LD_LIBRARY_PATH takes precedence.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    }
}
