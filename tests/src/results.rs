//! Results of monitoring, written into the database as the leader writes them.

use crate::postgres::psql;
use serde_json::{Value, json};

/// Id of the alarm in [`snapshot`].
pub const ALARM: &str = "0193a000-0000-7000-8000-0000000000a1";

/// A result with every figure: a stream of images and a stream of a model.
pub fn snapshot() -> Value {
    let figure = |value: f64| json!({ "value": value, "low": value - 0.01, "high": value + 0.01, "n": 500 });
    let detector = |name: &str| json!({ "detector": name, "evidence": 2.5, "threshold": 73000.0, "armed": true, "in_alarm": false, "n": 90 });
    let group = |name: &str, in_alarm: bool| {
        json!({ "group": name, "evidence": 12.5, "threshold": 73000.0, "armed": true, "in_alarm": in_alarm, "n": 6000,
            "change_at": "2026-01-05T09:00:00Z" })
    };
    let quantity = |name: &str, group: &str| json!({ "quantity": name, "group": group, "evidence": 9.0, "shift": -0.25, "n": 300 });
    let counts = json!({ "n_predicted": 6000, "n_positive": 3700, "n_referred": 20, "n_expired": 3, "n_failed": 1,
        "n_rejected": { "blank": 7, "too_small": 2 } });
    let baseline = json!({ "id": "0193a000-0000-7000-8000-0000000000b1", "digest": "ab".repeat(32), "n_images": 5200,
        "n_weeks": 4, "approved_at": "2026-01-02T00:00:00Z" });
    let nothing = json!({ "baseline": null, "drift": [], "quantities": [], "ood": null, "prevalence": null,
        "estimate": null, "realised": null, "calibration": null, "labels": null });
    let with = |more: Value| {
        let mut report = nothing.clone();
        report.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        report
    };
    let images = json!({ "site": "development", "slice": "all", "model": null });
    let model = json!({ "site": "development", "slice": "all",
        "model": { "version": "1.0.0", "digest": "cd".repeat(32), "variant": "fp32" } });
    json!({
        "next_leaf": 6033, "newest_row_at": "2026-01-06T10:00:00Z", "n_streams_pooled": 2,
        "streams": [
            with(json!({ "stream": images, "counts": counts, "baseline": baseline,
                "drift": [group("inputs", true), group("rejections", false)], "quantities": [quantity("border", "inputs")] })),
            with(json!({ "stream": model, "counts": counts,
                "drift": [group("score", false)], "quantities": [quantity("probability", "score")],
                "ood": { "share": figure(0.05), "baseline_share": 0.01 },
                "prevalence": { "estimate": figure(0.61), "baseline": 0.63, "evidence": 3.0, "threshold": 73000.0,
                    "armed": false, "in_alarm": false },
                "estimate": { "status": "withheld", "reason": "the share out of distribution is above its limit",
                    "method": "cbpe", "figures": { "sensitivity": figure(0.93) }, "worst_case": { "sensitivity": 0.81 }, "n": 500 },
                "realised": { "status": "ok", "reason": null, "figures": { "sensitivity": figure(0.94) },
                    "unweighted": { "sensitivity": figure(0.97) }, "limits": { "sensitivity": 0.9 },
                    "detectors": [detector("misses"), detector("false_positives")], "n_positive": 60, "n_negative": 70 },
                "calibration": { "status": "ok", "reason": null, "ece": figure(0.02), "brier": figure(0.05),
                    "bias": figure(0.01), "detector": detector("calibration") },
                "labels": { "n_positive": 60, "n_negative": 70, "coverage": 0.2, "median_delay_s": 86400.0, "n_unread": 4,
                    "oldest_unread_at": "2026-01-04T00:00:00Z" } })),
        ],
        "alarms": [{ "id": ALARM, "stream": images, "detector": "inputs", "severity": "ticket",
            "opened_at": "2026-01-05T10:00:00Z", "opened_leaf": 5000, "change_at": "2026-01-05T09:00:00Z",
            "evidence": 80000.0, "threshold": 73000.0, "quantities": [["border", 0.9]],
            "acknowledged_at": null, "escalated_at": null }],
    })
}

/// Writes a result. No replica can replace it: the writer loses the right.
pub fn publish(url: &str, snapshot: &Value) {
    let write = format!(
        "revoke insert, update on monitoring_results from cxr_writer; revoke update on monitoring_cursor from cxr_writer; \
         insert into monitoring_results (computed_at, snapshot) values (now(), $json${snapshot}$json$) \
         on conflict (only_row) do update set computed_at = clock_timestamp(), snapshot = excluded.snapshot"
    );
    psql(url, &write).expect("the result is written");
}

/// Adds the rows of the alarm in [`snapshot`] and of its stream.
pub fn add_alarm(url: &str) {
    let add = format!(
        "insert into monitoring_streams (stream_id, site, slice, first_leaf) values (0, 'development', 'all', 0); \
         insert into monitoring_alarms (alarm_id, stream_id, detector, severity, opened_at, opened_leaf, evidence, threshold, \
             quantities) values ('{ALARM}', 0, 'inputs', 'ticket', '2026-01-05T10:00:00Z', 5000, 80000, 73000, '[]')"
    );
    psql(url, &add).expect("the alarm is written");
}

/// Approves a new baseline of the stream of [`add_alarm`].
pub fn approve_baseline(url: &str) {
    let id = "0193a000-0000-7000-8000-0000000000b2";
    let add = format!(
        "insert into monitoring_baselines (baseline_id, stream_id, actor, first_leaf, last_leaf, n_images, digest, content, \
             simulation) values ('{id}', 0, 'chief', 0, 9, 10, sha256('x'), 'x', '{{}}'); \
         insert into monitoring_approvals (baseline_id, actor, reason, from_leaf, from_label) values ('{id}', 'chief', 'r', 10, 0)"
    );
    psql(url, &add).expect("the baseline is written");
}
