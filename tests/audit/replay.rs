//! `audit replay`: executes a logged prediction again, bit for bit, and reports a row that differs.

use serde_json::Value;
use std::process::Command;
use system_tests::server::{Options, Server, binary};
use system_tests::{images, postgres, root};

fn replay(url: &str, id: &str, image: &[u8], set: &[(&str, &str)]) -> (i32, Value, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image).unwrap();
    let mut command = Command::new(binary());
    command.args(["audit", "replay", "--json", "--id", id, "--image"]).arg(file.path()).current_dir(root());
    command.env("CXR_PROFILE", "development").env("CXR_SERVICE__DATABASE__URL", url);
    let done = command.envs(set.iter().copied()).output().unwrap();
    let report = serde_json::from_slice(&done.stdout).unwrap_or_default();
    (done.status.code().unwrap(), report, String::from_utf8_lossy(&done.stderr).into_owned())
}

async fn server_on(url: &str) -> Server {
    Options::on(url).start_ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_confirms_a_row_or_reports_the_differences() {
    let url = postgres::shared().database();
    let mut rows = Vec::new();
    for variant in ["fp32", "int8"] {
        let server = Options::on(&url).set("model.variant", &variant).start_ready().await;
        let image = images::jpeg(11, true);
        let answer: Value = server.post("?age=6&view=AP", image.clone()).await.json().await.unwrap();
        rows.push((answer["id"].as_str().unwrap().to_owned(), image));
        let refused: Value = server.post("", images::blank()).await.json().await.unwrap();
        rows.push((refused["id"].as_str().unwrap().to_owned(), images::blank()));
    }
    for (id, image) in &rows {
        let (code, report, stderr) = replay(&url, id, image, &[]);
        assert_eq!(code, 0, "{report} {stderr}");
        assert_eq!(report["same_execution"], true, "{report}");
        assert!(report["results"].as_array().unwrap().len() >= 2);
    }
    // For referred images too, and with the patients that the site stated at the time.
    for query in ["?age=45", "?age=4", ""] {
        let image = images::jpeg(13, true);
        let answer: Value = server_on(&url).await.post(query, image.clone()).await.json().await.unwrap();
        let (code, report, stderr) = replay(&url, answer["id"].as_str().unwrap(), &image, &[]);
        assert_eq!(code, 0, "{query}: {report} {stderr}");
        let decision =
            report["results"].as_array().unwrap().iter().find(|result| result["column"] == "decision");
        assert_eq!(decision.unwrap()["recorded"], answer["decision"], "{query}");
    }
    // On another host, only the last bits may differ.
    let (id, image) = &rows[0];
    let table =
        postgres::psql(&url, "select name from predictions_months where now() between starts and ends")
            .unwrap();
    let change = |what: &str| {
        let sql =
            format!("alter table {table} disable trigger all; update {table} set {what} where id = '{id}'");
        postgres::psql(&url, &sql).unwrap()
    };
    change("execution = jsonb_set(execution, '{instruction_set}', '\"another\"'), logit = logit + 1e-5");
    let (code, report, _) = replay(&url, id, image, &[]);
    assert_eq!((code, &report["same_execution"]), (0, &Value::from(false)), "{report}");
    change("logit = logit + 0.01");
    let (code, report, _) = replay(&url, id, image, &[]);
    assert_eq!(code, 1, "{report}");
    let differing: Vec<&Value> =
        report["results"].as_array().unwrap().iter().filter(|result| result["agrees"] == false).collect();
    assert!(differing.len() == 1 && differing[0]["column"] == "logit", "{report}");

    // Rows before version 5 have a decision for images that are referred now.
    let before = "encoding_version = 4, orientation = null, assumed = null, heatmap_low = null, heatmap_high = null, \
        logit = logit - 0.01, decision = case when probability >= threshold then 'positive' else 'negative' end";
    change(before);
    let (code, report, stderr) = replay(&url, id, image, &[]);
    assert_eq!(code, 0, "{report} {stderr}");

    let (code, _, stderr) = replay(&url, id, &images::jpeg(12, true), &[]);
    assert!(code == 1 && stderr.contains("its digest differs from the row's"), "{stderr}");
    change("bundle_digest = repeat('0', 64)");
    let (code, _, stderr) = replay(&url, id, image, &[]);
    assert!(code == 1 && stderr.contains("set service.model.bundle"), "{stderr}");
}
