//! Helpers for the audit log: count, wait, export, verify.

use crate::server::{Options, Server, binary};
use crate::{eventually, postgres};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The public key of the log key in config/development.yaml.
pub const PUBLIC_KEY: &str =
    "development.cxr.invalid/log+a49e0ad1+AYCkUga2cKxdYXVXwGKW+TRQ+ZR5p6J0Ic4z4Sf0f1Fa";

/// `audit.input_key` of config/development.yaml.
const INPUT_KEY: &[u8] = b"development-only-input-key-known-to-everybody";

/// SQL that inserts valid pending leaves, as the service would, for the ids that a query returns.
pub fn insert_pending_leaves(ids: &str) -> String {
    let mac = |key: &[u8], text: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length").chain_update(text);
        mac.finalize().into_bytes()
    };
    // HMAC (RFC 2104) with the functions that Postgres has.
    let key = mac(INPUT_KEY, b"leaf");
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key.iter()).for_each(|(byte, key)| *byte ^= key);
        hex::encode(block)
    };
    let (inner, outer) = (padded(0x36), padded(0x5c));
    format!(
        "insert into audit_pending (prediction_id, leaf_hash, row_hash, code) \
         select id, leaf, digest, sha256('\\x{outer}'::bytea || sha256('\\x{inner}'::bytea || leaf)) \
         from ({ids}) as ids (id), lateral (select sha256(uuid_send(id))) as digests (digest), \
             lateral (select sha256('\\x00'::bytea || uuid_send(id) || digest)) as leaves (leaf)"
    )
}

/// The result of a query that returns one number.
pub fn number(url: &str, query: &str) -> u64 {
    postgres::psql(url, query).expect("an answer").parse().expect("a number")
}

/// Waits until `n` leaves are in the tree.
pub async fn sequenced(url: &str, n: u64) {
    let sequenced = async || number(url, "select count(*) from audit_leaves") >= n;
    eventually(30, "the rows are not sequenced", sequenced).await;
}

/// Waits until the anchor has a checkpoint of that size.
pub async fn anchored(folder: &Path, size: u64) {
    let checkpoint = folder.join(format!("{size:020}.checkpoint"));
    eventually(30, &format!("no checkpoint of {size} leaves"), async || checkpoint.exists()).await;
}

/// GETs a path of the audit API.
pub async fn ask(server: &Server, path: &str) -> Value {
    let answer = server.get(path, "audit:read").await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

/// Exports the log of a database to a folder.
pub fn export(url: &str, folder: &Path) -> PathBuf {
    let path = folder.join("log.ndjson");
    let arguments = ["audit", "export", "--out", path.to_str().expect("UTF-8")];
    let (succeeded, text) = Options::on(url).command_line(&arguments).outcome();
    assert!(succeeded, "{text}");
    path
}

/// The verifier's exit status and report.
pub fn verify(export: &Path, arguments: &[&std::ffi::OsStr]) -> (i32, Value) {
    let done = run_verifier(export, arguments);
    let report = serde_json::from_slice(&done.stdout).unwrap_or_default();
    (done.status.code().expect("no signal"), report)
}

/// Runs the verifier.
pub fn run_verifier(export: &Path, arguments: &[&std::ffi::OsStr]) -> Output {
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "--json", "--public-key", PUBLIC_KEY, "--export"]).arg(export);
    command.args(arguments).env_clear().output().expect("cxr-service runs")
}
