//! Receipts, proofs and checkpoints. Proofs are checked with another implementation and the definition of a
//! leaf, not with the service's code.

use crate::log::{PUBLIC_KEY, anchored, ask, export, insert_pending_leaves, number, sequenced, verify};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use system_tests::server::{Options, problem};
use system_tests::{images, postgres, root};
use tlog_tiles::{Checkpoint, Hash, check_record, check_tree, record_hash};

fn hashes(proof: &Value) -> Vec<Hash> {
    proof["hashes"].as_array().unwrap().iter().map(hash).collect()
}

fn hash(value: &Value) -> Hash {
    Hash::parse_hash(value.as_str().unwrap()).unwrap()
}

/// The text of a checkpoint; its signature is checked by `audit verify`.
fn checkpoint(note: &str) -> Checkpoint {
    let (text, _) = note.rsplit_once("\n\n").unwrap();
    Checkpoint::from_bytes(format!("{text}\n").as_bytes()).unwrap()
}

/// A Python program without our code accepts every proof, and none after any change.
fn another_program_agrees(proofs: &[Value]) {
    let holds = |proofs: &[Value]| {
        let lines: Vec<String> = proofs.iter().map(Value::to_string).collect();
        let script = root().join("tests/audit/check_proofs.py");
        let mut checks = Command::new("python3").arg(script).stdin(Stdio::piped()).spawn().unwrap();
        checks.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
        checks.wait().unwrap().code()
    };
    assert_eq!(holds(proofs), Some(0));
    for proof in proofs {
        for n in 0..proof["hashes"].as_array().unwrap().len() {
            let mut changed = proof.clone();
            changed["hashes"][n] = Hash::default().to_string().into();
            assert_eq!(holds(&[changed]), Some(1), "{proof}");
        }
        for member in ["leaf_hash", "from_root"].iter().filter(|member| proof[**member].is_string()) {
            let mut changed = proof.clone();
            changed[*member] = Hash::default().to_string().into();
            assert_eq!(holds(&[changed]), Some(1), "{proof}");
        }
    }
}

/// Checks a line of an export: the leaf's entry is the id (16 bytes) and the SHA-256 of the row's bytes in
/// the line.
fn has_the_leaf_of_its_bytes(line: &str) {
    let (_, row) = line.split_once("\"row\":").unwrap();
    let value: Value = serde_json::from_str(line).unwrap();
    let row_hash = Sha256::digest(row.strip_suffix('}').unwrap());
    assert_eq!(hash(&value["row_hash"]).0, *row_hash);
    let id = hex::decode(value["id"].as_str().unwrap().replace('-', "")).unwrap();
    assert_eq!(record_hash(&[id, row_hash.to_vec()].concat()), hash(&value["leaf_hash"]));
    assert_eq!(value["row"]["id"], value["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_has_a_receipt_a_proof_and_an_exported_form_that_verify() {
    let url = postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor");
    let options = Options::on(&url).set("audit.anchor.directory", &anchor.display());
    let server = options.set("audit.anchor.interval_ms", &1).start_ready().await;
    problem(server.get("/v1/audit/checkpoint", "audit:read").await, 404, "no_checkpoint").await;

    let mut receipts = Vec::new();
    for n in 0..9 {
        let image = if n % 3 == 2 { images::blank() } else { images::jpeg(n, n % 2 == 0) };
        let answer = server.post("", image).await;
        let answer: Value = if n % 3 == 2 {
            problem(answer, 422, "rejected").await
        } else {
            assert_eq!(answer.status(), 200);
            answer.json().await.unwrap()
        };
        receipts.push(answer);
    }
    sequenced(&url, 9).await;
    let note = server.get("/v1/audit/checkpoint", "audit:read").await.text().await.unwrap();
    let latest = checkpoint(&note);
    assert_eq!((latest.origin(), latest.size()), ("development.cxr.invalid/log", 9));

    // Every proof leads from the leaf of the receipt to the signed root.
    let mut proofs = Vec::new();
    for answer in &receipts {
        let id = answer["id"].as_str().unwrap();
        let proof = ask(&server, &format!("/v1/audit/proofs/{id}")).await;
        assert_eq!(proof["leaf_hash"], answer["receipt"]["leaf_hash"]);
        let (index, leaf) = (proof["leaf_index"].as_u64().unwrap(), hash(&proof["leaf_hash"]));
        check_record(&hashes(&proof), 9, *latest.hash(), index, leaf).unwrap();
        proofs.push(proof);
    }
    let checkpoints =
        postgres::psql(&url, "select tree_size, encode(root_hash, 'base64') from audit_checkpoints").unwrap();
    for line in checkpoints.lines() {
        let (size, root) = line.split_once('|').unwrap();
        let mut proof = ask(&server, &format!("/v1/audit/consistency?from={size}")).await;
        proof["from_root"] = root.into();
        let root = Hash::parse_hash(root).unwrap();
        check_tree(&hashes(&proof), 9, *latest.hash(), size.parse().unwrap(), root).unwrap();
        proofs.push(proof);
    }
    for size in [1, 4, 8] {
        let id = receipts[0]["id"].as_str().unwrap();
        if checkpoints.lines().any(|line| line.starts_with(&format!("{size}|"))) {
            proofs.push(ask(&server, &format!("/v1/audit/proofs/{id}?tree_size={size}")).await);
        }
    }
    let unknown = "/v1/audit/proofs/01933c5e-0000-7000-8000-000000000000";
    problem(server.get(unknown, "audit:read").await, 404, "not_found").await;
    problem(server.get("/v1/audit/proofs/7", "audit:read").await, 400, "malformed_request").await;
    problem(server.get("/v1/audit/consistency?from=10", "audit:read").await, 400, "malformed_request").await;
    problem(server.get("/v1/audit/consistency?from=1&to=77", "audit:read").await, 404, "no_checkpoint").await;
    let id = receipts[8]["id"].as_str().unwrap();
    problem(
        server.get(&format!("/v1/audit/proofs/{id}?tree_size=x"), "audit:read").await,
        400,
        "malformed_request",
    )
    .await;

    // The leaf is the hash of the row's bytes in the export.
    anchored(&anchor, 9).await;
    let exported = export(&url, folder.path());
    let text = std::fs::read_to_string(&exported).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("\"row\":")).collect();
    assert_eq!(rows.len(), 9);
    for (line, proof) in rows.iter().zip(&mut proofs) {
        proof["row"] = line.split_once("\"row\":").unwrap().1.strip_suffix('}').unwrap().into();
    }
    another_program_agrees(&proofs);
    rows.into_iter().for_each(has_the_leaf_of_its_bytes);
    let kept = folder.path().join("answers.ndjson");
    let mut file = std::fs::File::create(&kept).unwrap();
    for answer in &receipts {
        writeln!(file, "{answer}").unwrap();
    }
    let arguments = ["--checkpoints".as_ref(), anchor.as_os_str(), "--receipts".as_ref(), kept.as_os_str()];
    let (status, report) = verify(&exported, &arguments);
    assert_eq!((status, report["n_rows_verified"].as_u64()), (0, Some(9)), "{report}");
    assert_eq!(
        (report["n_receipts_verified"].as_u64(), report["anchored_size"].as_u64()),
        (Some(9), Some(9))
    );

    // Receipts without a row are reported, and so is a missing checkpoint.
    std::fs::write(&exported, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    let (status, report) = verify(&exported, &["--receipts".as_ref(), kept.as_os_str()]);
    assert_eq!((status, report["findings"].as_array().unwrap().len()), (1, 9), "{report}");
    assert_eq!(report["findings"][0]["what"], "no signed checkpoint covers the leaves after the first 0");
    // Reformatting the rows changes nothing.
    let spaced: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| serde_json::to_string(&line).unwrap())
        .collect();
    std::fs::write(&exported, spaced.join("\n")).unwrap();
    assert_eq!(verify(&exported, &arguments).0, 0);
    // A file in another format is an error, not a finding.
    std::fs::write(&exported, "PNG").unwrap();
    assert_eq!(verify(&exported, &arguments).0, 2);
    assert!(PUBLIC_KEY.starts_with(latest.origin()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_transaction_commits_late_is_sequenced_once() {
    let url = postgres::shared().database();
    let server = Options::on(&url).set("audit.sequence.interval_ms", &20).start_ready().await;
    // A row of another replica whose transaction stalls before its commit; its id is older than all others.
    let late = std::thread::spawn({
        let url = url.clone();
        let leaf = insert_pending_leaves("select '00000000-0000-7000-8000-000000000001'::uuid");
        move || postgres::psql(&url, &format!("begin; {leaf}; select pg_sleep(2); commit")).unwrap()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for n in 0..4 {
        assert_eq!(server.post("", images::jpeg(n, false)).await.status(), 200);
    }
    sequenced(&url, 4).await;
    assert_eq!(number(&url, "select count(*) from audit_leaves where prediction_id::text like '0000%'"), 0);
    late.join().unwrap();
    sequenced(&url, 5).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(number(&url, "select count(*) from audit_leaves"), 5);
    assert_eq!(number(&url, "select leaf_index from audit_leaves where prediction_id::text like '0000%'"), 4);
    assert_eq!(number(&url, "select count(*) from audit_pending"), 0);
    assert_eq!(server.metric("cxr_audit_tree_size").await, Some(5.0));
}
