//! The database's password is changed while the service runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use system_tests::images;
use system_tests::postgres::{Cluster, name};
use system_tests::server::{Options, problem};

fn with_password(cluster: &Cluster, database: &str, password: &str) -> String {
    let socket = cluster.socket();
    format!("postgres://site:{password}@localhost/{database}?host={}", socket.parent().unwrap().display())
}

/// Changes the password and terminates every session with the old one.
fn rotate(cluster: &Cluster, password: &str) {
    cluster.psql("postgres", &format!("alter role site password '{password}'"));
    cluster.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'site'");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_read_from_its_file_under_load() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let database = name(&url).to_owned();
    cluster.psql(&database, "create role site login password 'old' in role cxr_writer, cxr_auditor");
    cluster.require_passwords();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let write =
        |password: &str| std::fs::write(&file, with_password(&cluster, &database, password) + "\n").unwrap();
    write("old");
    let options = Options::on("").unset("database.url").set("database.url_file", &file.display());
    let server = Arc::new(options.set("audit.sequence.interval_ms", &50).start_ready().await);
    assert_eq!(server.get("/v1/predictions", "audit:read").await.status(), 200);

    let over = Arc::new(AtomicBool::default());
    let clients: Vec<_> = (0..4)
        .map(|seed| {
            let (server, over) = (Arc::clone(&server), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let status = server.post("", images::jpeg(seed, true)).await.status().as_u16();
                    answers.push((Instant::now(), status));
                }
                answers
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut rotations = Vec::new();
    for password in ["second", "third"] {
        rotations.push(Instant::now());
        rotate(&cluster, password);
        // The file follows a moment later: requests wait for it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        write(password);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut answered, mut refused) = (0, 0);
    for client in clients {
        for (at, status) in client.await.unwrap() {
            let since =
                rotations.iter().rev().find(|rotation| **rotation <= at).map(|rotation| at - *rotation);
            match status {
                200 => answered += 1,
                // Its session was terminated during the commit, so the outcome is unknown.
                503 if since.is_some_and(|since| since < Duration::from_millis(1500)) => refused += 1,
                other => panic!("{other} {since:?} after a rotation:\n{}", server.log()),
            }
        }
    }
    println!("{answered} answered, {refused} refused around 2 rotations");
    assert!(answered > 20 && refused <= 8, "{answered} answered, {refused} refused: at most those under way");
    // All pools read the new password: the reader's and the leader's too.
    assert_eq!(server.get("/v1/predictions", "audit:read").await.status(), 200);
    let sequenced = async || cluster.psql(&database, "select count(*) from audit_pending") == "0";
    server.eventually(20, "the tree does not grow", sequenced).await;
    server.wait_ready(true).await;
    for secret in ["old", "second", "third"] {
        assert!(!server.log().contains(&format!("site:{secret}")), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_reported_and_not_retried_without_end() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let database = name(&url).to_owned();
    cluster.psql(&database, "create role site login password 'right' in role cxr_writer, cxr_auditor");
    cluster.require_passwords();
    let options = Options::on(&with_password(&cluster, &database, "wrong"));
    let server = options.set("database.acquire_timeout_ms", &1000).start().await;
    let answer = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    let detail = problem(answer, 503, "not_ready").await["detail"].to_string();
    assert!(detail.contains("service.database.url: login refused"), "{detail}");
    assert!(!detail.contains("wrong") && !detail.contains("site"), "{detail}");
    assert!(server.logged("password authentication failed").await.is_some(), "{}", server.log());
    // Each connection tries once and then waits for a new password.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tries = cluster.log().matches("password authentication failed").count();
    assert!((1..=40).contains(&tries), "{tries} logins were tried");
}
