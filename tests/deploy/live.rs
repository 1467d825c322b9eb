//! Two replicas on a Postgres, a Prometheus that scrapes them with the rules of deploy/, and an Alertmanager
//! with its routes: every expression is answered, and the alerts of an incident come and go.
//!
//! `rig::alerting` says what is shorter here than in the files.

use crate::expressions::{Expression, Kind, expressions, selectors};
use crate::{installed, snapshot};
use reqwest::Client;
use rig::alerting::{Alerting, Pace};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use system_tests::postgres::{Cluster, Session, name};
use system_tests::server::{Options, Server};
use system_tests::{eventually, images, root};

const PACE: Pace = Pace { interval: "1s", pending: "2s", wait: "1s" };
const LIMIT: Duration = Duration::from_secs(30);

/// Metrics without a series here, because the replicas have neither TLS nor published keys.
const OF_OTHERS: [&str; 2] = ["cxr_tls_", "cxr_key_set_"];

struct Incident {
    cluster: Cluster,
    url: String,
    replicas: Vec<Server>,
    alerting: Alerting,
    client: Client,
    folder: tempfile::TempDir,
    _monitor: Session,
}

impl Incident {
    async fn start() -> Self {
        let cluster = Cluster::start();
        let url = cluster.database();
        // The lease of monitoring: no replica computes results of its own, and those below stay.
        let mut monitor = Session::open(&url).await;
        let key = i64::from_be_bytes(*b"cxr_moni");
        monitor.run(&format!("select pg_advisory_lock({key})")).await.unwrap();
        let results = snapshot::snapshot().replace('\'', "''");
        let insert = "insert into monitoring_results (computed_at, snapshot) values";
        cluster.psql(name(&url), &format!("{insert} (clock_timestamp(), '{results}')"));
        cluster.psql(name(&url), "update monitoring_cursor set newest_row_at = clock_timestamp()");
        let folder = tempfile::tempdir().unwrap();
        let replicas = vec![
            replica(&url, folder.path(), "127.0.0.1:0").await,
            replica(&url, folder.path(), "127.0.0.1:0").await,
        ];
        let addresses: Vec<_> = replicas.iter().map(|it| it.address().parse().unwrap()).collect();
        let alerting = Alerting::start(&root(), folder.path(), &addresses, PACE).unwrap();
        Self { cluster, url, replicas, alerting, client: Client::new(), folder, _monitor: monitor }
    }

    async fn query(&self, text: &str) -> Result<Vec<Value>, String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", text).finish();
        let url = format!("{}/api/v1/query?{query}", self.alerting.prometheus_url);
        let answer: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        let result = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        Ok(result.clone())
    }

    /// What is wrong with the answer to an expression.
    async fn wrong(&self, text: &str, may_be_empty: bool) -> Option<String> {
        let series = match self.query(text).await {
            Ok(series) => series,
            Err(error) => return Some(error),
        };
        let number =
            |it: &Value| it["value"][1].as_str().unwrap_or_default().parse::<f64>().unwrap_or(f64::NAN);
        if series.iter().any(|it| !number(it).is_finite()) {
            return Some(format!("not a number: {series:?}"));
        }
        (series.is_empty() && !may_be_empty).then(|| "no series".to_owned())
    }

    /// Expressions without a proper answer. Panels and recording rules need a series; of conditions, each
    /// selector does.
    async fn unanswered(&self) -> Vec<String> {
        let mut unanswered = Vec::new();
        for expression in expressions() {
            let Expression { place, text, kind } = &expression;
            let absent = OF_OTHERS.iter().any(|metric| text.contains(metric));
            if let Some(wrong) = self.wrong(text, absent || *kind == Kind::Condition).await {
                unanswered.push(format!("{place}: {wrong}\n  {text}"));
            }
            for selector in selectors(&expression) {
                let of_condition =
                    *kind == Kind::Condition && !absent && selector.name.as_deref() != Some("ALERTS");
                // Failures and alarms in these states are what the alert waits for.
                let text = selector.to_string();
                let awaited =
                    ["5..", "escalated", "acknowledged", "harmful"].iter().any(|it| text.contains(it));
                if let Some(wrong) = self.wrong(&text, !of_condition || awaited).await {
                    unanswered.push(format!("{place}: {wrong}\n  {text}"));
                }
            }
        }
        unanswered
    }

    fn receives(&mut self, receiver: &str, alert: &str, status: &str) -> Value {
        let begun = Instant::now();
        let found = tokio::task::block_in_place(|| self.alerting.wait_for(receiver, alert, status, LIMIT));
        println!("{receiver} got {alert} {status} after {:.1} s", begun.elapsed().as_secs_f64());
        found.unwrap_or_else(|error| panic!("{error:#}"))
    }
}

async fn replica(url: &str, folder: &Path, bind: &str) -> Server {
    let anchor = folder.join("anchor");
    let options = Options::on(url).set("audit.anchor.directory", &anchor.display());
    options.set("audit.site", &"main").set("http.bind", &bind).start_ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_is_answered_and_the_alerts_of_an_incident_come_and_go() {
    if !installed(&["prometheus", "prometheus-alertmanager"]) {
        return;
    }
    let mut incident = Incident::start().await;
    let begun = Instant::now();
    for seed in 0.. {
        // Rates need events between two scrapes.
        for replica in &incident.replicas {
            assert_eq!(replica.post("", images::jpeg(seed, seed % 2 == 0)).await.status(), 200);
            assert_eq!(replica.post("", images::blank()).await.status(), 422);
        }
        let unanswered = incident.unanswered().await;
        if unanswered.is_empty() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{} expressions:\n{}", unanswered.len(), unanswered.join("\n"));
    }
    println!("{} expressions answered after {:.1} s", expressions().len(), begun.elapsed().as_secs_f64());

    // The results say that the second model's images have drifted.
    let drift = incident.receives("on-call", "HarmfulDrift", "firing");
    assert_eq!(drift["labels"]["version"], "2.0.0", "{drift}");
    let summary = drift["annotations"]["summary"].as_str().unwrap();
    assert_eq!(
        summary,
        "main, all, model 2.0.0 fp32: the images have drifted and the model cannot be relied on"
    );
    incident.receives("watchdog", "Watchdog", "firing");

    // A replica is killed, and started again.
    let mut killed = incident.replicas.remove(0);
    killed.signal("KILL");
    killed.wait().await;
    let down = incident.receives("operations", "ReplicaDown", "firing");
    assert_eq!(down["labels"]["instance"], killed.address(), "{down}");
    incident.replicas.push(replica(&incident.url, incident.folder.path(), killed.address()).await);
    incident.receives("incident-tool", "ReplicaDown", "resolved");

    // The database stops: no replica is ready, and an answer is withheld.
    incident.cluster.stop();
    assert_eq!(incident.replicas[0].post("", images::jpeg(9, true)).await.status(), 503);
    // cxr_ready follows the probes of /readyz.
    for replica in &incident.replicas {
        replica.wait_ready(false).await;
    }
    let not_ready = incident.receives("on-call", "NotReady", "firing");
    assert_eq!(not_ready["labels"]["site"], "main", "{not_ready}");
    assert!(not_ready["annotations"]["runbook_url"].as_str().unwrap().ends_with("service.md#notready"));
    // Drift waits meanwhile.
    let url = format!("{}/api/v2/alerts?filter=alertname=HarmfulDrift", incident.alerting.alertmanager_url);
    let inhibited = async || {
        let alerts: Value = incident.client.get(&url).send().await.unwrap().json().await.unwrap();
        alerts[0]["status"]["state"] == "suppressed"
    };
    eventually(10, "HarmfulDrift is not inhibited", inhibited).await;
    incident.cluster.restart();
    for replica in &incident.replicas {
        replica.wait_ready(true).await;
    }
    incident.receives("on-call", "NotReady", "resolved");
}
