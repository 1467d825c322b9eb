//! Labels in an export: next to their row, the current label first, and never presented as proven.

use crate::log::{PUBLIC_KEY, export, sequenced, verify};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use system_tests::server::{Options, Server, binary};
use system_tests::{images, postgres, tokens};

async fn label(server: &Server, id: &str, label: &str, source: &str, labelled_at: &str) {
    let body = json!({ "label": label, "source": source, "labelled_at": labelled_at });
    let request = server.client.post(format!("{}/v1/predictions/{id}/labels", server.base));
    let answer = request.bearer_auth(tokens::token("label")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

/// Changes the lines of an export that hold a row.
fn rewritten(export: &Path, change: impl Fn(&mut Value)) {
    let text = std::fs::read_to_string(export).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        change(&mut line);
        line.to_string() + "\n"
    });
    std::fs::write(export, lines.collect::<String>()).unwrap();
}

/// The output of the verifier.
fn verifier_output(export: &Path) -> String {
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "--public-key", PUBLIC_KEY, "--export"]).arg(export);
    String::from_utf8(command.env_clear().output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_exported_next_to_the_row_and_are_not_proven() {
    let url = postgres::shared().database();
    let server = Options::on(&url).start_ready().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let answer: Value = server.post("", images::jpeg(n, true)).await.json().await.unwrap();
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    sequenced(&url, 3).await;
    let folder = tempfile::tempdir().unwrap();
    // The format without labels: no row has any.
    let (status, report) = verify(&export(&url, folder.path()), &[]);
    assert_eq!((status, &report["n_rows_labelled"]), (0, &json!(0)), "{report}");

    label(&server, &ids[0], "negative", "follow_up", "2026-02-05T10:00:00Z").await;
    label(&server, &ids[0], "positive", "report", "2026-01-05T10:00:00Z").await;
    label(&server, &ids[1], "positive", "radiologist", "2026-01-05T10:00:00Z").await;
    let exported = export(&url, folder.path());
    let text = std::fs::read_to_string(&exported).unwrap();
    let line = |id: &str| -> Value {
        let line = text.lines().find(|line| line.contains("leaf_hash") && line.contains(id)).unwrap();
        serde_json::from_str(line).unwrap()
    };
    let exported_labels = |id: &str| -> Vec<String> {
        let labels = line(id)["labels"].as_array().cloned().unwrap_or_default();
        let text = |label: &Value, member: &str| label[member].as_str().unwrap().to_owned();
        labels
            .iter()
            .map(|l| format!("{} {} {}", text(l, "label"), text(l, "source"), text(l, "labelled_at")))
            .collect()
    };
    assert_eq!(
        exported_labels(&ids[0]),
        ["negative follow_up 2026-02-05T10:00:00Z", "positive report 2026-01-05T10:00:00Z"]
    );
    assert_eq!(exported_labels(&ids[1]), ["positive radiologist 2026-01-05T10:00:00Z"]);
    assert!(line(&ids[2]).get("labels").is_none());
    assert!(line(&ids[0])["row"].get("label").is_none());
    let (status, report) = verify(&exported, &[]);
    let counted = [&report["n_rows_verified"], &report["n_rows_labelled"]];
    assert_eq!((status, counted), (0, [&json!(3), &json!(2)]), "{report}");

    // Changing a label changes no leaf, and the verifier makes no claim about labels.
    rewritten(&exported, |line| {
        if line.get("labels").is_some() {
            line["labels"] = json!([{ "label": "negative", "source": "nobody", "labelled_at": null }]);
        }
    });
    let report = verifier_output(&exported);
    assert!(report.contains("everything is as signed"), "{report}");
    assert!(report.contains("2 rows have labels: labels are not in the tree"), "{report}");

    // Inside the row, it changes the signed content.
    rewritten(&exported, |line| {
        if line.get("labels").is_some() {
            line["row"]["label"] = "negative".into();
        }
    });
    let (status, report) = verify(&exported, &[]);
    assert_eq!((status, report["findings"].as_array().map(Vec::len)), (1, Some(2)), "{report}");
}
