//! `bench --quick` on phantoms with the real service and Postgres: its figures must be consistent. Speed is
//! not asserted, because other tests run at the same time.

use loadtest::bench::Record;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs it in the root of the repository and returns its records.
fn bench(name: &str, arguments: &[&str]) -> (Vec<Record>, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = Path::new(env!("CARGO_BIN_EXE_cxr-loadtest"));
    assert!(program.with_file_name("cxr-service").exists(), "not built: cargo build --release --bins");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(program)
        .args(["bench", "--quick", "--images", "phantoms", "--model", "default=models/default:fp32", "--out"])
        .arg(&out)
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("cxr-loadtest runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("| closed-16 | cxr |"), "no table\n{said}");
    let summary = std::fs::read(out.join("summary.json")).expect("summary.json");
    (serde_json::from_slice(&summary).expect("an array of records"), out)
}

fn find<'a>(records: &'a [Record], who: &str, load: &str) -> &'a Record {
    let found = records.iter().find(|record| record.contestant == who && record.load == load);
    found.unwrap_or_else(|| panic!("no record of {who} at {load}"))
}

/// Checks what holds for every measurement, however slow the host is.
fn check(record: &Record) {
    let what = format!("{record:?}");
    assert!(record.answers > 0 && record.failed == 0 && record.refused == 0, "{what}");
    let ordered = record.p50_ms <= record.p90_ms && record.p90_ms <= record.p99_ms;
    assert!(record.p50_ms > 0.0 && ordered, "{what}");
    assert!(record.cpu_ms_per_request.contestant > 0.0 && record.resident_mb > 10.0, "{what}");
    assert_eq!(record.rounds, 1);
    if let Some(offered) = record.offered_rps {
        assert!(
            (record.rps - offered).abs() < 4.0 * offered.sqrt() + 1.0,
            "Poisson arrivals of a second or two: {what}"
        );
    }
    // Little's law: clients = throughput x mean latency; a window of one second cuts off at most one answer
    // per client. The percentiles bound the mean.
    if let Some(clients) = record.load.strip_prefix("closed-").and_then(|n| n.parse::<f64>().ok()) {
        let (least, most) =
            (0.5 * record.p50_ms, 0.5 * record.p50_ms + 0.4 * record.p90_ms + 0.1 * record.p99_ms);
        let busy = |mean_ms: f64| record.rps * mean_ms / 1e3;
        assert!(busy(most) > 0.4 * clients, "at most {} of {clients} clients busy: {what}", busy(most));
        assert!(busy(least) < 2.0 * clients, "at least {} of {clients} clients busy: {what}", busy(least));
    }
}

#[test]
fn the_service_and_the_limit_are_measured() {
    let (records, out) = bench("without-peer", &["--without-peer"]);
    assert_eq!(records.len(), 2 * 3, "two contestants at three loads");
    records.iter().for_each(check);
    let (service, limit) = (find(&records, "cxr", "closed-16"), find(&records, "limit", "closed-16"));
    assert!(service.ratio_to_peer.is_none());
    let ratio = service.ratio_to_limit.expect("a ratio");
    assert!((ratio.value - service.rps / limit.rps).abs() < 1e-9);
    assert!(ratio.low <= ratio.value && ratio.value <= ratio.high);
    // The kernel counts in steps of 10 ms: on a busy host, one load may show 0.
    let of_service =
        || records.iter().filter(|record| record.contestant == "cxr").map(|r| &r.cpu_ms_per_request);
    assert!(of_service().any(|cpu| cpu.postgres > 0.0) && of_service().any(|cpu| cpu.generator > 0.0));
    let tail = find(&records, "cxr", "open-60%");
    let expected = tail.p99_ms / find(&records, "limit", "open-60%").p99_ms;
    assert!((tail.ratio_to_limit.expect("a ratio").value - expected).abs() < 1e-9);
    let plot = std::fs::read_to_string(out.join("latency.svg")).expect("latency.svg");
    assert!(plot.starts_with("<svg") && plot.contains("open-60%") && plot.trim_end().ends_with("</svg>"));
    let run: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("run.json")).expect("run.json")).expect("JSON");
    let figures = &run["subjects"][0]["figures"];
    assert!((figures["saturation_to_limit"]["value"].as_f64().expect("a figure") - ratio.value).abs() < 0.5);
    assert!(figures["saturation_to_peer"].is_null() && figures["commit_ms"]["value"].as_f64() > Some(0.0));
}

#[test]
fn killing_the_benchmark_leaves_no_process_and_no_cluster() {
    let mark = format!("cxr-bench-left-{}", std::process::id());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&mark);
    let mut bench = Command::new(env!("CARGO_BIN_EXE_cxr-loadtest"))
        .args(["bench", "--without-peer", "--images", "phantoms"])
        .args(["--model", "default=models/default:fp32", "--out"])
        .arg(&out)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("cxr-loadtest runs");
    let cluster = PathBuf::from(format!("/tmp/cxr-bench-{}", bench.id()));
    let logs = out.join("logs/default-fp32");
    wait_until("it measures", || {
        logs.join("limit.log").exists() && cluster.join("data/postmaster.pid").exists()
    });
    let limit = format!("{}", logs.display());
    assert!(runs_with(&limit), "the limit works on images in {limit}");
    // SIGKILL: the benchmark itself cannot clean up.
    bench.kill().expect("our child");
    bench.wait().expect("our child");
    wait_until("the children have ended", || !runs_with(&limit) && !cluster.exists());
}

/// Whether a limit process with this argument runs.
fn runs_with(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        let line = String::from_utf8_lossy(&line);
        line.contains(argument) && line.contains("\0limit\0")
    })
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed() < std::time::Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn the_peer_is_measured_if_it_is_installed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let have = Command::new(root.join("scripts/venv.sh"))
        .args(["service-peer", "--have"])
        .output()
        .expect("the script runs");
    if !have.status.success() {
        println!("skipped: the peer is not installed (install it with scripts/venv.sh service-peer)");
        return;
    }
    let (records, _) = bench("with-peer", &[]);
    assert_eq!(records.len(), 3 * 3, "three contestants at three loads");
    records.iter().for_each(check);
    let (service, peer) = (find(&records, "cxr", "closed-1"), find(&records, "peer", "closed-1"));
    assert!((service.ratio_to_peer.expect("a ratio").value - service.rps / peer.rps).abs() < 1e-9);
    assert_eq!(peer.precision, "fp32");
}
