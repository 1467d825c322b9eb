//! A service whose clock is wrong.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use system_tests::postgres::{psql, shared};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, skipped, tokens};

const DAY: i64 = 86_400;

fn library() -> Option<PathBuf> {
    let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let found = folders.map(|arch| PathBuf::from(format!("/usr/lib/{arch}/faketime/libfaketimeMT.so.1")));
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        skipped("libfaketime is not installed (scripts/setup.sh)");
    }
    found
}

/// The service with a clock that is `seconds` ahead.
fn ahead(options: Options, library: &std::path::Path, seconds: i64) -> Options {
    let options = options.variable("LD_PRELOAD", &library.display().to_string());
    options.variable("FAKETIME", &format!("{seconds:+}")).variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// A token that is valid by the service's clock.
fn token(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds;
    let claims = json!({"iss": tokens::ISSUER, "aud": tokens::AUDIENCE, "sub": "tester", "scope": "predict",
        "nbf": now - 5, "exp": now + 600});
    tokens::sign_development(&claims)
}

async fn post(server: &Server, seconds: i64) -> reqwest::Response {
    let request = server.prediction("").bearer_auth(token(seconds));
    request.body(images::jpeg(1, true)).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_reported_with_its_difference_and_nothing_is_written_with_it() {
    let Some(library) = library() else { return };
    for (days, difference) in
        [(40, "40.0 days ahead of"), (-400, "400.0 days behind"), (1, "24.0 hours ahead of")]
    {
        let url = shared().database();
        let server = ahead(Options::on(&url), &library, days * DAY).start().await;
        let ready = server.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
        let ready = problem(ready, 503, "not_ready").await;
        let checks: Vec<&Value> = ready["checks"].as_array().unwrap().iter().collect();
        let clock = checks.iter().find(|check| check["check"] == "clock").expect("a check of the clock");
        assert!(clock["cause"].as_str().unwrap().contains(difference), "{ready}");
        assert!(
            clock["cause"].as_str().unwrap().contains("service.database.max_clock_difference_ms"),
            "{ready}"
        );
        problem(post(&server, days * DAY).await, 503, "audit_unavailable").await;
        assert_eq!(psql(&url, "select count(*) from predictions").unwrap(), "0");
        assert!(server.logged("this process's clock is").await.is_some(), "{}", server.log());
        let metric = server.metric("cxr_database_clock_difference_seconds ").await.unwrap();
        assert!((metric - (days * DAY) as f64).abs() < 10.0, "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_difference_is_reported_and_harmless() {
    let Some(library) = library() else { return };
    let server = ahead(Options::on(&shared().database()), &library, -20).start_ready().await;
    assert_eq!(post(&server, -20).await.status(), 200);
    let metric = server.metric("cxr_database_clock_difference_seconds ").await.unwrap();
    assert!((metric + 20.0).abs() < 5.0, "{metric}");
}

/// A missing partition is created for the row that needs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_month_is_created_for_the_row_that_needs_it() {
    let url = shared().database();
    let server = Options::on(&url).start_ready().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // As after a pause of the service that outlasted the months created in advance.
    let drop = "do $$ declare month text; begin for month in select name from predictions_months loop
        execute format('drop table %I', month); end loop; delete from predictions_months; end $$";
    psql(&url, drop).unwrap();
    assert_eq!(server.post("", images::jpeg(1, true)).await.status(), 200, "{}", server.log());
    assert_eq!(psql(&url, "select count(*) from predictions").unwrap(), "1");
}
