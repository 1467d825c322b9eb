//! Which code may name which items (ARCHITECTURE.md, "Rules").

use crate::{read, tracked};
use std::path::Path;
use system_tests::root;

/// The code of a file without its unit tests and comments.
pub(crate) fn code(path: &Path) -> String {
    let text = read(path);
    let mut lines = text.lines();
    let mut code = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim_start() == "#[cfg(test)]" {
            // The item ends with this line, or with the brace under its first character.
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            if lines.next().is_some_and(|item| !item.ends_with(';')) {
                lines.find(|line| **line == end);
            }
        } else if !line.trim_start().starts_with("//") {
            code.push(line);
        }
    }
    code.join("\n")
}

/// Asserts that no file under `within`, except those under `except`, names any of `words`.
fn only(except: &[&str], within: &str, words: &[&str]) {
    for path in tracked(".rs") {
        if !path.starts_with(within) || except.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        let code = code(&path);
        for word in words {
            assert!(!names(&code, word), "{} names {word:?}, which belongs in {except:?}", path.display());
        }
    }
}

/// Whether `word` occurs in the code, and not as the end of a longer name.
fn names(code: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(part_of_name))
}

#[test]
fn only_http_names_status_codes() {
    only(&["service/src/http", "service/src/http.rs"], "service", &["StatusCode"]);
}

#[test]
fn only_store_holds_sql() {
    only(
        &["service/src/store", "service/src/store.rs"],
        "service",
        &["sqlx::query", "SELECT ", "INSERT INTO", "select "],
    );
}

/// A trigger can silently discard the rows of a statement, unless the caller counts them, as `write.rs` does.
#[test]
fn every_write_counts_its_rows() {
    only(&["service/src/store/write.rs"], "service/src", &["execute(", "execute_many("]);
}

#[test]
fn only_the_tuning_store_holds_sql_in_the_trainer() {
    only(
        &["trainer/src/tune/postgres.rs"],
        "trainer/src",
        &["sqlx::", "SELECT ", "INSERT INTO", "select pg_", "insert into"],
    );
}

#[test]
fn only_runtime_names_ort() {
    for crate_ in ["cxr", "service", "trainer", "tests/src"] {
        only(&[], crate_, &["ort::"]);
    }
}

/// Only Python needs this test: in Rust, `runtime` refuses to load the library with telemetry.
#[test]
fn python_imports_onnxruntime_without_its_telemetry() {
    let mut importing = 0;
    for path in tracked(".py") {
        let text = read(&path);
        let Some(import) = text.find("import onnxruntime").or_else(|| text.find("from onnxruntime")) else {
            continue;
        };
        importing += 1;
        let disabled = text[..import].contains(r#"os.environ["ORT_DISABLE_TELEMETRY"] = "1""#);
        assert!(disabled, "{} imports onnxruntime with its telemetry", path.display());
    }
    assert!(importing > 0, "no Python file imports onnxruntime, so this test checks nothing");
}

#[test]
fn config_imports_nothing_of_the_crate_and_telemetry_no_config() {
    for part in ["service/src/config", "service/src/config.rs"] {
        only(&[], part, &["crate::"]);
    }
    only(&[], "service/src/telemetry", &["crate::config"]);
}

#[test]
fn only_config_reads_the_environment() {
    only(&["service/src/config", "service/src/config.rs"], "service", &["env::var", "env!(\"CXR"]);
}

#[test]
fn only_the_metrics_file_declares_metrics() {
    only(
        &["service/src/telemetry/metrics.rs", "service/src/telemetry/metrics/"],
        "service",
        &["HistogramVec", "IntCounterVec", "IntGauge", "HistogramOpts"],
    );
}

#[test]
fn the_service_and_the_trainer_do_not_depend_on_each_other() {
    for (crate_, other) in [("service", "cxr-trainer"), ("trainer", "cxr-service"), ("service", "tch")] {
        let manifest = read(&Path::new(crate_).join("Cargo.toml"));
        assert!(!manifest.lines().any(|line| line.starts_with(other)), "{crate_} depends on {other}");
    }
}

#[test]
fn the_domain_library_does_no_io() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "cxr",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"sha2"), "unexpected output of cargo tree: {tree}");
    for banned in ["tch", "torch-sys", "ort", "axum", "hyper", "sqlx", "tokio", "reqwest"] {
        assert!(!crates.contains(&banned), "cxr depends on {banned}");
    }
    only(
        &[],
        "cxr/src",
        &["std::fs", "std::net", "std::env", "std::thread", "std::process", "SystemTime", "Instant::now"],
    );
}
