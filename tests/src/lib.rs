//! The harness: a private Postgres for the run, a database for each test, the real server as a process of its own.

pub mod bundles;
#[path = "../../cxr/tests/jpeg/coefficients.rs"]
#[expect(dead_code, reason = "the decoder's own tests use all of it")]
mod coefficients;
pub mod http2;
pub mod images;
pub mod log;
pub mod npm;
pub mod openssl;
pub mod pgbouncer;
pub mod postgres;
pub mod preload;
pub mod proxy;
pub mod server;
pub mod site;
pub mod standby;
pub mod tokens;
pub mod trace;
mod wire;

use std::path::PathBuf;

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout exists")
}

/// Says that a test was skipped, past the harness, which shows nothing of a test that passes.
///
/// # Panics
/// Where nothing may be skipped: `CXR_REQUIRE_ALL` is set, as continuous integration does.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    assert!(std::env::var_os("CXR_REQUIRE_ALL").is_none(), "skipped, and CXR_REQUIRE_ALL is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    drop(writeln!(std::io::stderr(), "\nskipped: {test}: {why}"));
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
