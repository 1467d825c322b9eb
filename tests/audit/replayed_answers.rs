//! Stored answers for retries, changed in the database: they are never replayed.

use crate::forgery::Log;
use crate::log::{export, number, sequenced};
use crate::target::DISARM;
use reqwest::Response;
use serde_json::Value;
use system_tests::postgres::{psql, shared};
use system_tests::server::{Options, Server, problem};
use system_tests::{images, tokens};

async fn send(server: &Server, key: &str, image: Vec<u8>) -> Response {
    let request = server.prediction("");
    let request = request.bearer_auth(tokens::token("predict")).header("Idempotency-Key", key);
    request.body(image).send().await.unwrap()
}

/// An answered request, and a second one whose stored answer an attacker can use.
struct Answered {
    key: String,
    id: String,
    other: String,
}

impl Answered {
    async fn new(server: &Server, n: usize) -> Self {
        let key = format!("key-{n}");
        let first: Value = send(server, &key, images::jpeg(1, true)).await.json().await.unwrap();
        let other = send(server, &format!("other-{n}"), images::jpeg(2, false)).await;
        let other: Value = other.json().await.unwrap();
        let again: Value = send(server, &key, images::jpeg(1, true)).await.json().await.unwrap();
        assert_eq!(first["id"], again["id"], "an unchanged stored answer is replayed");
        let id = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
        Self { key, id: id(&first), other: id(&other) }
    }

    /// Runs SQL as the owner of the database, who can do everything but sign.
    fn change(&self, url: &str, sql: &str) {
        let sql = sql.replace("{id}", &self.id).replace("{other}", &self.other);
        psql(url, &format!("{DISARM}{sql}")).unwrap();
    }

    async fn is_not_repeated(&self, server: &Server, what: &str) {
        let answer = send(server, &self.key, images::jpeg(1, true)).await;
        let problem = problem(answer, 500, "earlier_answer_changed").await;
        assert!(problem["receipt"].is_null() && problem["id"].is_null(), "{what}: {problem}");
        let request_id = problem["request_id"].as_str().unwrap();
        let line = server
            .logged(&format!(
                "stored answer does not verify; answer withheld\",\"request_id\":\"{request_id}"
            ))
            .await;
        assert!(line.is_some_and(|line| line.contains("ERROR")), "{what}: {}", server.log());
    }
}

const CHANGES: [(&str, &str); 7] = [
    (
        "the class",
        "update idempotency_keys set answer = '{\"class\": \"NORMAL?\"}' where prediction_id = '{id}'",
    ),
    (
        "its kind",
        "update idempotency_keys set answer = '{\"detail\": \"too dark\"}' where prediction_id = '{id}'",
    ),
    ("its code taken away", "update idempotency_keys set code = null where prediction_id = '{id}'"),
    ("its code", "update idempotency_keys set code = sha256('x') where prediction_id = '{id}'"),
    (
        "another request's answer with its code",
        "update idempotency_keys mine set (answer, prediction_id, code) = (select answer, prediction_id, code
            from idempotency_keys where prediction_id = '{other}') where prediction_id = '{id}'",
    ),
    (
        "what was sent",
        "update idempotency_keys mine set fingerprint = sha256('x') where prediction_id = '{id}'",
    ),
    ("the row", "update predictions set review_required = not review_required where id = '{id}'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_that_was_changed_is_never_replayed() {
    let url = shared().database();
    let server = Options::on(&url).set("audit.sequence.interval_ms", &50).start_ready().await;
    for (n, (what, sql)) in CHANGES.into_iter().enumerate() {
        let answered = Answered::new(&server, n).await;
        answered.change(&url, sql);
        answered.is_not_repeated(&server, what).await;
        assert_eq!(server.metric("cxr_changed_answers_total ").await, Some((n + 1) as f64), "{what}");
    }
    assert_eq!(number(&url, "select count(*) from predictions"), 2 * CHANGES.len() as u64, "no second row");
}

/// The row is changed and its leaf made to match: only the code of the stored answer detects it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_row_and_leaf_were_changed_is_not_replayed() {
    let url = shared().database();
    let server = Options::on(&url).set("audit.sequence.interval_ms", &50).start_ready().await;
    let answered = Answered::new(&server, 0).await;
    sequenced(&url, 2).await;
    answered.change(&url, "update predictions set review_required = not review_required where id = '{id}'");
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::parse(&std::fs::read_to_string(export(&url, folder.path())).unwrap());
    let leaf = log.leaves.iter_mut().find(|leaf| leaf.id == answered.id).unwrap();
    leaf.rewrite(str::to_owned);
    let (hash, row_hash) = (hex::encode(leaf.hash.0), hex::encode(leaf.row_hash.0));
    let fit = format!(
        "update audit_leaves set leaf_hash = '\\x{hash}', row_hash = '\\x{row_hash}' where prediction_id = '{{id}}'"
    );
    answered.change(&url, &fit);
    answered.is_not_repeated(&server, "row and leaf alike").await;
}
