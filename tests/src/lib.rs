//! The harness: a private Postgres for the run, a database for each test, the real server as a process of its own.

pub mod bundles;
pub mod images;
pub mod log;
pub mod npm;
pub mod postgres;
pub mod preload;
pub mod proxy;
pub mod server;
pub mod tokens;
mod wire;

use std::path::PathBuf;

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout exists")
}

/// A real radiograph, where real data are at hand; says so where they are not.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub fn real_data(path: &str) -> Option<PathBuf> {
    let beside = || root().join("../shared/data");
    let path = std::env::var_os("CXR_DATA_DIR").map_or_else(beside, PathBuf::from).join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no real data ({} is not there; set CXR_DATA_DIR)", path.display());
    None
}
