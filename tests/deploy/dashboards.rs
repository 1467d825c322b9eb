//! Dashboards: what the generator writes, of Grafana's types, and with links that lead somewhere.

use crate::{deploy, files, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use system_tests::{npm, skipped};

fn dashboards() -> Vec<Value> {
    let read = |path: std::path::PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    files(&deploy("grafana/dashboards"), "json").into_iter().map(read).collect()
}

/// Python with Grafana's types.
fn python() -> Option<Command> {
    let python = std::env::var_os("CXR_GRAFANA_PYTHON").filter(|python| !python.is_empty());
    if python.is_none() {
        skipped("no Grafana types (set CXR_GRAFANA_PYTHON to what scripts/venv.sh grafana prints)");
    }
    let mut command = Command::new(python?);
    command.arg("-B");
    Some(command)
}

#[test]
fn the_dashboards_are_those_of_the_generator() {
    let Some(mut python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    run(python.arg(deploy("grafana/generate.py")).arg(folder.path()));
    let written = files(folder.path(), "json");
    let kept = files(&deploy("grafana/dashboards"), "json");
    assert_eq!(written.len(), kept.len());
    for (written, kept) in written.iter().zip(&kept) {
        assert_eq!(written.file_name(), kept.file_name());
        let same = std::fs::read(written).unwrap() == std::fs::read(kept).unwrap();
        assert!(same, "{}: run `make dashboards` and commit the result", kept.display());
    }
}

/// Grafana's own model loads each dashboard and loses no key of it.
#[test]
fn grafanas_model_reads_every_key() {
    let Some(mut python) = python() else { return };
    let program = "
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
def lost(a, b, path=''):
    if isinstance(a, dict):
        for key in a: yield from lost(a[key], b[key], f'{path}/{key}') if key in b else [f'{path}/{key}']
    elif isinstance(a, list):
        for i, pair in enumerate(zip(a, b, strict=True)): yield from lost(*pair, f'{path}[{i}]')
for path in sys.argv[1:]:
    raw = json.load(open(path))
    keys = list(lost(raw, json.loads(json.dumps(Dashboard.from_json(raw), cls=JSONEncoder))))
    assert raw['panels'] and not keys, (path, keys)
";
    run(python.args(["-c", program]).args(files(&deploy("grafana/dashboards"), "json")));
}

#[test]
fn the_dashboards_have_the_types_of_grafanas_schema() {
    let Some(folder) = npm::install("grafana") else { return };
    let check = |paths: &[std::path::PathBuf]| {
        Command::new("node").arg("check.mjs").args(paths).current_dir(&folder).output().unwrap()
    };
    let output = check(&files(&deploy("grafana/dashboards"), "json"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    // It does find a key and a value that Grafana does not know.
    let broken = tempfile::tempdir().unwrap();
    let path = broken.path().join("broken.json");
    for (pointer, key, value) in
        [("/templating/list/0", "surprise", "1"), ("/annotations/list/0/datasource", "type", "")]
    {
        let mut dashboard = dashboards().remove(0);
        dashboard.pointer_mut(pointer).unwrap()[key] =
            value.parse::<u8>().map_or(Value::from(7), Value::from);
        std::fs::write(&path, dashboard.to_string()).unwrap();
        let output = check(std::slice::from_ref(&path));
        assert!(!output.status.success(), "{pointer}/{key} was not found");
    }
}

#[test]
fn dashboards_have_variables_annotations_and_runbooks() {
    let mut found = BTreeSet::new();
    for dashboard in dashboards() {
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        let names = |list: &str| -> Vec<String> {
            let list = dashboard.pointer(list).unwrap().as_array().unwrap().iter();
            list.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
        };
        let variables = names("/templating/list");
        let wanted: &[&str] = if uid == "cxr-service" {
            &["datasource", "site"]
        } else {
            &["datasource", "site", "version", "variant", "slice"]
        };
        assert_eq!(variables, wanted, "{uid}");
        assert_eq!(names("/annotations/list"), ["Pages", "Model changes", "Baseline changes"], "{uid}");
        let links = dashboard["links"].as_array().unwrap();
        let urls: Vec<&str> = links.iter().filter_map(|link| link["url"].as_str()).collect();
        let runbook = urls.iter().find_map(|url| url.strip_prefix("https://cxr.example.invalid/runbooks/"));
        assert!(deploy("runbooks").join(runbook.expect("a link to a runbook")).exists(), "{uid}: {urls:?}");
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(!panel["title"].as_str().unwrap().is_empty(), "{uid}: {panel}");
        }
        found.insert(uid);
    }
    let wanted = ["cxr-incident", "cxr-model-health", "cxr-service"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(wanted));
}

#[test]
fn provisioning_names_a_source_and_the_folder() {
    for path in ["datasources/prometheus.yml", "dashboards/cxr.yml"] {
        let path = deploy("grafana/provisioning").join(path);
        let file: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(file["apiVersion"], 1);
        let entry = file["datasources"].get(0).or_else(|| file["providers"].get(0)).unwrap();
        assert!(entry["type"] == "prometheus" || entry["options"]["path"].is_string(), "{entry}");
    }
}
