//! System calls of the service, traced with strace: no network traffic, and no files but those that
//! docs/PROCESS.md lists.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::server::Options;
use system_tests::trace::{Trace, tracer};
use system_tests::{images, postgres, skipped, tokens};

/// ONNX Runtime's telemetry would open its database at once and resolve its host within 14 s.
const WATCHED: Duration = Duration::from_secs(17);

fn has_strace() -> bool {
    Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_contacts_no_other_host_and_writes_only_its_anchor() {
    if !has_strace() {
        return skipped("no strace (scripts/setup.sh installs it)");
    }
    let folder = tempfile::tempdir().unwrap();
    let [home, temporary, anchor] = ["home", "tmp", "anchor"].map(|name| folder.path().join(name));
    std::fs::create_dir(&home).unwrap();
    std::fs::create_dir(&temporary).unwrap();
    let file = folder.path().join("trace");
    let tracer = tracer(&file);
    let options = Options::on(&postgres::shared().database())
        .under(&tracer.iter().map(String::as_str).collect::<Vec<_>>())
        .variable("HOME", home.to_str().unwrap())
        .variable("TMPDIR", temporary.to_str().unwrap())
        .variable("XDG_CACHE_HOME", home.join(".cache").to_str().unwrap())
        .set("audit.anchor.directory", &anchor.display())
        .set("audit.anchor.interval_ms", &1000);
    let mut server = options.start_ready().await;
    let begun = Instant::now();
    while begun.elapsed() < WATCHED {
        assert_eq!(server.post("?explain=true", images::jpeg(1, true)).await.status(), 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let reload = server.client.post(format!("{}/v1/model/reload", server.base));
    assert_eq!(reload.bearer_auth(tokens::token("admin")).send().await.unwrap().status(), 200);
    server.signal("TERM");
    assert!(server.wait().await.success());
    // The tracer ends after the service.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let trace = Trace::read(&file);
    assert_eq!(trace.to_other_hosts(), [""; 0]);
    let written = trace.written();
    let outside: Vec<_> = written.iter().filter(|path| !path.starts_with(&anchor)).collect();
    assert!(outside.is_empty(), "{outside:?}");
    assert!(written.len() > 1, "the anchor is written: {written:?}");
    assert!(is_empty(&home) && is_empty(&temporary));
}
