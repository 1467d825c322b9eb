//! docs/METRICS.md: its tables are those of `cxr-service metrics`, which match `/metrics`, and every metric
//! that it names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use system_tests::server::{Options, Server, binary};
use system_tests::{images, log, postgres, results, root};

fn page() -> String {
    std::fs::read_to_string(root().join("docs/METRICS.md")).unwrap()
}

/// Type and meaning of every metric that the page lists.
fn listed() -> BTreeMap<String, (String, String)> {
    let page = page();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let rows = rows.filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        let mut cells = rest.splitn(3, " | ");
        let (kind, _, meaning) = (cells.next()?, cells.next()?, cells.next()?);
        Some((name.to_owned(), (kind.to_owned(), meaning.to_owned())))
    });
    rows.collect()
}

async fn exposition(server: &Server) -> String {
    server.client.get(format!("{}/metrics", server.base)).send().await.unwrap().text().await.unwrap()
}

#[test]
fn the_tables_are_those_of_the_program() {
    let printed = Command::new(binary()).arg("metrics").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let page = page();
    let (_, tables) = page.split_once("<!-- begin: make metrics-page -->\n").expect("the begin");
    let (tables, _) = tables.split_once("<!-- end -->").expect("the end");
    assert_eq!(tables, printed, "run `make metrics-page` and commit the result");
}

#[test]
fn every_metric_that_the_documentation_names_exists() {
    let listed = listed();
    for file in ["METRICS.md", "OPERATIONS.md", "AUDIT.md", "API.md", "ERRORS.md"] {
        let text = std::fs::read_to_string(root().join("docs").join(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: BTreeSet<&str> = words
            .filter(|word| word.starts_with("cxr_") || word.starts_with("process_"))
            .filter(|word| {
                ["_total", "_seconds", "_bytes", "_info", "_size", "_fds", "_bucket"]
                    .iter()
                    .any(|end| word.ends_with(end))
            })
            .collect();
        for name in named {
            assert!(
                listed.contains_key(name.trim_end_matches("_bucket")),
                "{file} names {name}, which is not a metric"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_exactly_the_served_metrics() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    // Most metrics of monitoring have no series without a result.
    results::publish(&url, &results::snapshot());
    let options = Options::on(&postgres::as_user(&url, "writer")).set("database.reader_url", &url);
    let server = options.set("audit.anchor.directory", &anchor.display()).start_ready().await;
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200);
    log::anchored(&anchor, 1).await;
    server
        .eventually(20, "no result is exported", async || exposition(&server).await.contains("cxr_drift_"))
        .await;
    let text = exposition(&server).await;
    let facts = |prefix: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix)?.split_once(' '));
        lines.map(|(name, fact)| (name.to_owned(), fact.to_owned())).collect()
    };
    let (kinds, helps) = (facts("# TYPE "), facts("# HELP "));
    assert!(kinds.len() > 30, "{text}");
    let listed = listed();
    for (name, kind) in &kinds {
        let (listed_kind, meaning) = listed.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!((listed_kind, meaning), (kind, &helps[name]), "{name}");
    }
    // Metrics without a series need what this server lacks: published key sets and TLS.
    let absent: Vec<&String> = listed.keys().filter(|name| !kinds.contains_key(*name)).collect();
    let of_others = |name: &&&String| name.starts_with("cxr_key_set_") || name.starts_with("cxr_tls_");
    assert_eq!(absent.iter().filter(|name| !of_others(name)).count(), 0, "{absent:?}");

    let value = async |line: &str| server.metric(line).await.unwrap_or_else(|| panic!("{line}: {text}"));
    let memory = value("process_resident_memory_bytes ").await;
    let resident = server.memory_bytes() as f64;
    assert!((memory - resident).abs() < 0.3 * resident, "{memory} {resident}");
    assert!(value("process_cpu_seconds_total ").await > 0.05);
    assert!(value("process_open_fds ").await > 10.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for moment in ["process_start_time_seconds ", "cxr_audit_anchor_written_timestamp_seconds "] {
        assert!((now - value(moment).await).abs() < 60.0, "{moment}");
    }
    let writers = |state: &str| format!("cxr_database_connections{{pool=\"writer\",state=\"{state}\"}}");
    assert!(value(&writers("idle")).await + value(&writers("in_use")).await >= 1.0, "{text}");
    assert!(value("cxr_database_connections_awaited{pool=\"writer\"}").await < 1.0);
    assert!(text.contains("cxr_build_info{version=\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_cannot_be_fetched_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "service:\n  auth: {keys: [{jwks_url: 'http://127.0.0.1:9/jwks'}]}\n";
    std::fs::write(folder.path().join("development.yaml"), keys).unwrap();
    let options = Options::on(&postgres::shared().database());
    let options = options.variable("CXR_CONFIG_DIR", folder.path().to_str().unwrap());
    let server = options.set("auth.jwks.refresh_ms", &200).start().await;
    let failures = "cxr_key_set_fetch_failures_total{source=\"0\"}";
    let begun = Instant::now();
    while server.metric(failures).await.is_none_or(|n| n < 2.0) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", exposition(&server).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.metric("cxr_key_set_fetched_timestamp_seconds{source=\"0\"}").await, Some(0.0));
}
