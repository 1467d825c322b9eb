//! PgBouncer between the service and Postgres, in session and transaction mode.

use serde_json::{Value, json};
use system_tests::pgbouncer::PgBouncer;
use system_tests::postgres::{Cluster, name, psql};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, tokens};

/// A start-up parameter that PgBouncer silently drops, and `synchronous_commit` with it.
const DROPPED: &str = "options,extra_float_digits";

async fn sequencing(server: &Server) -> bool {
    server.metric("cxr_audit_sequencing").await == Some(1.0)
}

async fn predict_with_key(server: &Server, key: &str, seed: u64) -> (u16, Value) {
    let request = server.prediction("");
    let request = request.bearer_auth(tokens::token("predict")).header("Idempotency-Key", key);
    let response =
        request.header("X-Subject-Id", "somebody").body(images::jpeg(seed, true)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Exercises everything that the service does with its database.
async fn everything(server: &Server, url: &str) {
    let sent = (0..24).map(|seed| server.post("", images::jpeg(seed, seed % 2 == 0)));
    for answer in futures_util::future::join_all(sent).await {
        assert_eq!(answer.status(), 200, "{}", server.log());
    }
    let (_, first) = predict_with_key(server, "k", 1).await;
    let (status, again) = predict_with_key(server, "k", 1).await;
    assert_eq!((status, &first["id"]), (200, &again["id"]));
    let id = first["id"].as_str().unwrap();
    let label = json!({"label": "positive", "source": "radiologist", "labelled_at": "2026-01-05T10:00:00Z"});
    let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
    let labelled = request.bearer_auth(tokens::token("label")).json(&label).send().await.unwrap();
    assert!(labelled.status().is_success());
    for path in
        [format!("/v1/predictions/{id}"), "/v1/predictions?label=positive".into(), "/v1/predictions".into()]
    {
        assert_eq!(server.get(&path, "audit:read").await.status(), 200, "{path}");
    }
    server
        .eventually(25, "the tree does not grow", async || {
            psql(url, "select count(*) from audit_leaves").unwrap() == "25"
        })
        .await;
    assert_eq!(psql(url, "select count(*) from predictions").unwrap(), "25");
    server.wait_ready(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_mode_works_although_start_up_options_are_dropped() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let Some(pooler) = PgBouncer::start(&cluster, "session", DROPPED) else { return };
    // The service refuses rows whose commit is not durable, so answers prove that `synchronous_commit` is on.
    cluster.psql("postgres", &format!("alter database {} set synchronous_commit = off", name(&url)));
    let options = Options::on(&pooler.url(&url)).set("audit.sequence.interval_ms", &50);
    let (one, two) = (options.start_ready().await, options.start_ready().await);
    everything(&one, &url).await;
    // A stalled leader loses its session, and another replica leads.
    let (leader, other) = if sequencing(&one).await { (&one, &two) } else { (&two, &one) };
    assert!(sequencing(leader).await && !sequencing(other).await);
    leader.signal("STOP");
    other.eventually(25, "the other replica does not lead", async || sequencing(other).await).await;
    leader.signal("CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_mode_without_the_setting_makes_the_service_unready_with_the_cause() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let Some(pooler) = PgBouncer::start(&cluster, "transaction", DROPPED) else { return };
    let server = Options::on(&pooler.url(&url)).start().await;
    let response = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    let detail = problem(response, 503, "not_ready").await["detail"].to_string();
    assert!(detail.contains("PgBouncer") && detail.contains("service.database.pooling"), "{detail}");
    problem(server.post("", images::jpeg(1, true)).await, 503, "audit_unavailable").await;
    assert_eq!(psql(&url, "select count(*) from predictions").unwrap(), "0");
    // The leader's lock does not stay behind in a shared session.
    let locks = "select count(*) from pg_locks where locktype = 'advisory'";
    assert_eq!(psql(&url, locks).unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_mode_works_with_the_setting() {
    let cluster = Cluster::start();
    let url = cluster.database();
    // PgBouncer's default refuses unknown start-up parameters.
    let Some(pooler) = PgBouncer::start(&cluster, "transaction", "") else { return };
    cluster.psql("postgres", &format!("alter database {} set synchronous_commit = off", name(&url)));
    let refused = Options::on(&pooler.url(&url)).set("database.pooling", &"transaction").run_to_end();
    let output = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && output.contains("service.database.direct_url"), "{output}");
    let options = Options::on(&pooler.url(&url)).set("database.pooling", &"transaction");
    let options = options.set("database.direct_url", &url).set("audit.sequence.interval_ms", &50);
    let servers = [options.start_ready().await, options.start_ready().await];
    everything(&servers[0], &url).await;
    // Both services share sessions: no setting of one stays behind for the other.
    for _ in 0..3 {
        let sent = (0..16).map(|n: usize| servers[n % 2].post("", images::jpeg(n as u64, true)));
        for answer in futures_util::future::join_all(sent).await {
            assert_eq!(answer.status(), 200, "{}", servers[0].log());
        }
    }
    assert_eq!(psql(&pooler.url(&url), "show synchronous_commit").unwrap(), "off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_pool_mode_is_detected_at_run_time() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let Some(pooler) = PgBouncer::start(&cluster, "session", "") else { return };
    let server = Options::on(&pooler.url(&url)).start_ready().await;
    pooler.change_mode("transaction");
    server
        .eventually(25, "the service stays ready", async || {
            let answer = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
            answer.text().await.unwrap().contains("PgBouncer")
        })
        .await;
}
