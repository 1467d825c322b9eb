//! The harness of the system tests: a private Postgres per run, a database per test, the real service as a
//! process.

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
pub mod results;
pub mod server;
pub mod site;
pub mod standby;
pub mod tokens;
pub mod trace;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Polls until a condition holds.
///
/// # Panics
/// With `message` if it does not hold within `seconds`.
pub async fn eventually(seconds: u64, message: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(seconds), "{message}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout exists")
}

/// Reports a skipped test on the real stderr, because the test harness hides the output of passing tests.
///
/// # Panics
/// If `CXR_REQUIRE_ALL` is set, as in continuous integration.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    assert!(std::env::var_os("CXR_REQUIRE_ALL").is_none(), "skipped, and CXR_REQUIRE_ALL is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    drop(writeln!(std::io::stderr(), "\nskipped: {test}: {why}"));
}

/// The path of a real radiograph; `None`, and a message, without the data.
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
