//! Routes of Alertmanager.

use crate::rules::alerts;
use crate::{deploy, installed, run};
use std::path::Path;
use std::process::Command;

fn configuration() -> std::path::PathBuf {
    deploy("alertmanager/alertmanager.yml")
}

/// The receivers that an alert with these labels reaches.
fn receivers(labels: &[(&str, &str)]) -> String {
    let mut amtool = Command::new("amtool");
    amtool.args(["config", "routes", "test"]).arg(format!("--config.file={}", configuration().display()));
    amtool.args(labels.iter().map(|(name, value)| format!("{name}={value}")));
    let output = amtool.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn amtool_accepts_the_configuration() {
    if installed(&["amtool"]) {
        let output = run(Command::new("amtool").arg("check-config").arg(configuration()));
        assert!(output.contains("SUCCESS") && output.contains("8 receivers"), "{output}");
    }
}

#[test]
fn every_alert_reaches_who_must_act_and_the_incident_tool() {
    if !installed(&["amtool"]) {
        return;
    }
    for alert in alerts() {
        let name = alert.alert.clone().unwrap();
        let (severity, team) = (&*alert.labels["severity"], &*alert.labels["team"]);
        let wanted = match (&*name, severity, team) {
            ("Watchdog", ..) => "watchdog",
            ("AlarmEscalated", ..) => "incident-tool,second-on-call",
            (_, "page", "audit") => "incident-tool,on-call-and-auditor",
            (_, "page", _) => "incident-tool,on-call",
            (_, "ticket", "clinical") => "incident-tool,clinical",
            (_, "ticket", "audit") => "incident-tool,auditor",
            _ => "incident-tool,operations",
        };
        let labels: Vec<_> = alert.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        let found = receivers(&[&[("alertname", &*name), ("site", "main")], &*labels].concat());
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn an_alert_of_another_program_is_not_lost() {
    if installed(&["amtool"]) {
        assert_eq!(receivers(&[("alertname", "Other")]), "operations");
    }
}

#[test]
fn secrets_are_read_from_files() {
    let text = std::fs::read_to_string(configuration()).unwrap();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        for key in ["password", "key", "credentials", "token", "secret"] {
            let named =
                line.trim_start_matches("- ").split(':').next().is_some_and(|name| name.contains(key));
            let file = line.split_once(": ").is_none_or(|(_, value)| Path::new(value).is_absolute());
            assert!(!named || (line.contains("_file") && file), "a secret in the configuration: {line}");
        }
    }
}
