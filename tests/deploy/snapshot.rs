//! Results of monitoring with every figure, as the leader writes them: one stream without drift, and one that
//! has drifted and whose estimate is withheld.

use monitoring::quantity::{Group, INPUTS};
use monitoring::snapshot::Snapshot;
use serde_json::{Value, json};

fn figure(value: f64) -> Value {
    json!({"value": value, "low": value - 0.02, "high": value + 0.02, "n": 900})
}

fn detector(name: &str, in_alarm: bool) -> Value {
    json!({"detector": name, "evidence": 12.5, "threshold": 40000.0, "armed": true, "in_alarm": in_alarm, "n": 900})
}

fn group(group: Group, in_alarm: bool) -> Value {
    let evidence = if in_alarm { 90000.0 } else { 12.5 };
    json!({"group": group.name(), "evidence": evidence, "threshold": 40000.0, "armed": true, "in_alarm": in_alarm,
        "n": 900, "change_at": in_alarm.then_some("2026-11-30T08:00:00Z")})
}

fn stream(version: Option<&str>) -> Value {
    let digest = "00".repeat(32);
    let model = version.map(|version| json!({"version": version, "digest": digest, "variant": "fp32"}));
    json!({"site": "main", "slice": "all", "model": model})
}

fn report(stream: &Value, drifted: bool) -> Value {
    let figures = json!({"sensitivity": figure(0.93), "specificity": figure(0.91)});
    let is_model = !stream["model"].is_null();
    let groups = if is_model { &Group::ALL[1..4] } else { &[Group::Inputs, Group::Rejections][..] };
    let drift: Vec<Value> = groups.iter().map(|it| group(*it, drifted && *it == Group::Ood)).collect();
    let quantity =
        |name: &&str| json!({"quantity": name, "group": "inputs", "evidence": 3.0, "shift": -0.1, "n": 900});
    let estimate = json!({
        "status": if drifted { "withheld" } else { "ok" }, "reason": null, "method": "cbpe", "n": 900,
        "figures": if drifted { json!({}) } else { figures.clone() },
        "worst_case": if drifted { json!({"sensitivity": 0.4, "specificity": 0.5}) } else { json!({}) },
    });
    let realised = json!({
        "status": "ok", "reason": null, "figures": figures, "unweighted": figures, "revised": figures, "n_corrected": 1, "n_positive": 300, "n_negative": 600,
        "limits": {"sensitivity": 0.9, "specificity": 0.85},
        "detectors": [detector("misses", false), detector("false_positives", false)],
    });
    let calibration = json!({"status": "ok", "reason": null, "ece": figure(0.05), "brier": figure(0.08),
        "bias": figure(-0.01), "detector": detector("calibration", false)});
    json!({
        "stream": stream,
        "counts": {"n_predicted": 900, "n_positive": 300, "n_referred": 2, "n_expired": 1, "n_failed": 0,
            "n_rejected": {"blank": 3}},
        "baseline": {"id": "00000000-0000-0000-0000-000000000001", "digest": "00".repeat(32), "n_images": 6000,
            "n_weeks": 5, "approved_at": "2026-11-01T08:00:00Z"},
        "drift": drift,
        "quantities": if is_model { vec![] } else { INPUTS.iter().map(quantity).collect::<Vec<_>>() },
        "ood": is_model.then(|| json!({"share": figure(0.05), "baseline_share": 0.01})),
        "prevalence": is_model.then(|| json!({"estimate": figure(0.6), "baseline": 0.62, "evidence": 4.0,
            "threshold": 40000.0, "armed": true, "in_alarm": false})),
        "estimate": is_model.then_some(estimate),
        "realised": is_model.then_some(realised),
        "calibration": is_model.then_some(calibration),
        "labels": is_model.then(|| json!({"n_positive": 300, "n_negative": 600, "coverage": 0.4,
            "median_delay_s": 86400.0, "n_unread": 2, "oldest_unread_at": "2026-11-30T08:00:00Z"})),
    })
}

/// The snapshot as the service stores it.
pub(crate) fn snapshot() -> String {
    let (images, sound, drifted) = (stream(None), stream(Some("1.0.0")), stream(Some("2.0.0")));
    let alarm = json!({"id": "00000000-0000-0000-0000-000000000002", "stream": drifted, "detector": "ood",
        "severity": "page", "opened_at": "2026-11-30T09:00:00Z", "opened_leaf": 40,
        "change_at": "2026-11-30T08:00:00Z", "evidence": 90000.0, "threshold": 40000.0,
        "quantities": [["ood_score", 0.8]], "acknowledged_at": null, "escalated_at": null});
    let whole = json!({"next_leaf": 0, "newest_row_at": null, "n_streams_pooled": 0, "alarms": [alarm],
        "streams": [report(&images, false), report(&sound, false), report(&drifted, true)]});
    let snapshot: Snapshot = serde_json::from_value(whole).expect("the snapshot of this version");
    serde_json::to_string(&snapshot).expect("JSON")
}
