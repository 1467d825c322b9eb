//! Rules of Prometheus: valid, tested, and complete for the person who is woken.

use crate::{deploy, files, installed, run};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Rule {
    pub(crate) record: Option<String>,
    pub(crate) alert: Option<String>,
    pub(crate) expr: String,
    #[serde(rename = "for")]
    pending: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

pub(crate) fn rules() -> Vec<Rule> {
    let files = files(&deploy("prometheus/rules"), "yml").into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        serde_yaml_ng::from_str::<File>(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    files.flat_map(|file| file.groups).flat_map(|group| group.rules).collect()
}

pub(crate) fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.alert.is_some()).collect()
}

#[test]
fn promtool_accepts_configuration_and_rules() {
    if !installed(&["promtool"]) {
        return;
    }
    let checked =
        run(Command::new("promtool").arg("check").arg("config").arg(deploy("prometheus/prometheus.yml")));
    assert!(checked.contains("rule files found"), "{checked}");
    let lint = Command::new("promtool")
        .args(["check", "rules", "--lint=all", "--lint-fatal"])
        .args(files(&deploy("prometheus/rules"), "yml"))
        .output()
        .unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}

#[test]
fn the_tests_of_the_rules_pass() {
    if installed(&["promtool"]) {
        let tests = files(&deploy("prometheus/tests"), "yml");
        run(Command::new("promtool").args(["test", "rules"]).args(tests));
    }
}

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<TestCase>,
}

#[derive(Deserialize)]
struct TestCase {
    promql_expr_test: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    expr: String,
    exp_samples: Vec<serde_yaml_ng::Value>,
}

/// A test that never sees an alert fire, or never sees it silent, proves nothing.
#[test]
fn every_alert_is_tested_firing_and_silent_before_and_after() {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files(&deploy("prometheus/tests"), "yml") {
        let file: TestFile = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in file.tests {
            let firing = |it: &Expected| if it.exp_samples.is_empty() { '-' } else { '+' };
            let course: String = case.promql_expr_test.iter().map(firing).collect();
            seen.entry(case.promql_expr_test[0].expr.clone()).or_default().push(course);
        }
    }
    for alert in alerts() {
        let (name, severity) = (alert.alert.unwrap(), &alert.labels["severity"]);
        let expr =
            format!("count(ALERTS{{alertname=\"{name}\", alertstate=\"firing\", severity=\"{severity}\"}})");
        let courses = seen.remove(&expr).unwrap_or_else(|| panic!("{name} has no test with {expr}"));
        let has = |part: &str| courses.iter().any(|course| course.contains(part));
        assert!(name == "Watchdog" || (has("-+") && has("+-")), "{name}: {courses:?}");
    }
    assert!(seen.is_empty(), "tests of alerts that do not exist: {:?}", seen.keys());
}

#[test]
fn alerts_say_what_is_wrong_with_values_and_where_to_read_on() {
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert.alert.clone().unwrap();
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(alert.pending.is_some(), "{name}: no `for`");
        let label = |key: &str| alert.labels.get(key).map_or("", String::as_str);
        assert!(["page", "ticket", "none"].contains(&label("severity")), "{name}");
        assert!(["operations", "audit", "clinical"].contains(&label("team")), "{name}");
        let scopes = ["outage", "service", "replica", "log", "drift", "stream", "watchdog"];
        assert!(scopes.contains(&label("scope")), "{name}");
        let text = |key: &str| alert.annotations.get(key).map_or("", String::as_str);
        for key in ["summary", "description"] {
            assert!(text(key).len() > 15, "{name}: {key}");
        }
        assert!(text("runbook_url").starts_with("https://cxr.example.invalid/runbooks/"), "{name}");
        let board = text("dashboard").rsplit('/').next().unwrap().to_owned();
        assert!(["cxr-service", "cxr-model-health", "cxr-incident"].contains(&&*board), "{name}: {board}");
        // Only alerts about everything have no name of a site or replica.
        let everything = ["NoTargets", "Watchdog"].contains(&&*name);
        assert!(everything || text("summary").contains("$labels."), "{name}: the summary names no place");
    }
    assert!(names.len() > 40, "{}", names.len());
}

/// Gauges of monitoring are equal on every replica, and the leader's counters end with it.
#[test]
fn gauges_of_monitoring_are_never_added_up_over_replicas() {
    for alert in alerts() {
        let name = alert.alert.unwrap();
        for metric in [
            "cxr_drift_",
            "cxr_detector_",
            "cxr_realised_",
            "cxr_estimate",
            "cxr_images",
            "cxr_monitoring_alarms",
        ] {
            for (at, _) in alert.expr.match_indices(metric) {
                let before = &alert.expr[..at];
                // The name of a recorded series.
                if before.ends_with(':') {
                    continue;
                }
                let by = before.rfind("max by").map_or("", |begin| &before[begin..]);
                let direct = by.split_once(") (").is_some_and(|(_, inner)| inner.is_empty());
                assert!(direct, "{name}: {metric} without max by directly around it");
            }
        }
        let rate =
            ["rate(cxr_monitoring", "increase(cxr_monitoring", "rate(cxr_images", "increase(cxr_images"];
        assert!(rate.iter().all(|part| !alert.expr.contains(part)), "{name}: rate of a gauge");
    }
}
