//! Attacks by whoever has the database: a superuser who switches triggers off. Each is done at random places (fifty with CXR_LONG_TESTS=1) of a log
//! whose checkpoints were anchored; the verifier has only the export, the anchor and the public key, and must find all of them, with the first
//! bad place.

use crate::log::{anchored, export, sequenced, verify};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use system_tests::server::Options;
use system_tests::{images, postgres};
use tlog_tiles::record_hash;

const ROWS: u64 = 48;

/// Places of each attack: all fifty take three minutes.
fn n_places() -> u64 {
    if std::env::var_os("CXR_LONG_TESTS").is_some() { 50 } else { 6 }
}

/// A log of [`ROWS`] rows under several anchored checkpoints, and nobody connected to it.
struct Log {
    database: String,
    folder: tempfile::TempDir,
    /// Canonical forms, by place.
    rows: Vec<String>,
}

impl Log {
    async fn fill() -> Self {
        let cluster = postgres::shared();
        let url = cluster.database();
        let folder = tempfile::tempdir().unwrap();
        let anchor = folder.path().join("anchor");
        let options = Options::on(&url).set("audit.anchor.directory", &anchor.display());
        let options = options.set("audit.anchor.interval_ms", &1).set("audit.sequence.interval_ms", &10);
        let server = options.start_ready().await;
        for n in 0..ROWS {
            let image = if n % 4 == 0 { images::jpeg(n, n % 8 == 0) } else { images::blank() };
            server.post("", image).await;
            if n % 8 == 7 {
                sequenced(&url, n + 1).await;
                anchored(&anchor, n + 1).await;
            }
        }
        drop(server);
        let text = std::fs::read_to_string(export(&url, folder.path())).unwrap();
        let row = |line: &str| Some(line.split_once("\"row\":")?.1.strip_suffix('}')?.to_owned());
        let rows: Vec<String> = text.lines().filter_map(row).collect();
        assert_eq!(rows.len() as u64, ROWS);
        let database = postgres::name(&url).to_owned();
        Self { database, folder, rows }
    }

    fn anchor(&self) -> PathBuf {
        self.folder.path().join("anchor")
    }

    /// What the verifier says of a copy on which the statements were done.
    fn attacked(&self, statements: &str) -> (i32, serde_json::Value) {
        let cluster = postgres::shared();
        let copy = cluster.copy(&self.database);
        let armed = "set client_min_messages to error; alter table predictions disable trigger all; \
            alter table audit_leaves disable trigger all; alter table audit_checkpoints disable trigger all; ";
        cluster.psql(&copy, &format!("{armed}{statements}"));
        let folder = tempfile::tempdir().unwrap();
        let exported = export(&cluster.url(&copy), folder.path());
        let verdict = verify(&exported, &["--checkpoints".as_ref(), self.anchor().as_os_str()]);
        cluster.psql("postgres", &format!("drop database {copy}"));
        verdict
    }

    /// The attack is found, and its first finding covers the place where it was done.
    fn finds(&self, what: &str, place: u64, statements: &str) {
        let (status, report) = self.attacked(statements);
        let first = &report["findings"][0];
        let from = first["leaf_index"].as_u64().unwrap_or(u64::MAX);
        let n = first["n_leaves"].as_u64().unwrap_or(0);
        assert!(status == 1 && (from..from + n).contains(&place), "{what} at {place}: {status} {report}");
    }
}

/// Numbers that look random (SplitMix64), the same in every run.
fn random(below: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

fn row_at(place: u64) -> String {
    format!("(select prediction_id from audit_leaves where leaf_index = {place})")
}

/// Moves the leaves from a place on by a step.
fn shift(from: u64, by: i64) -> String {
    format!(
        "update audit_leaves set leaf_index = leaf_index + 100000 where leaf_index >= {from}; \
         update audit_leaves set leaf_index = leaf_index - 100000 + {by} where leaf_index >= 100000; "
    )
}

fn leaf_of(row: &str) -> String {
    hex::encode(record_hash(row.as_bytes()).0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_the_database_is_found_with_its_first_place() {
    let log = Log::fill().await;
    let (status, report) = log.attacked("");
    assert_eq!((status, report["anchored_size"].as_u64()), (0, Some(ROWS)), "{report}");

    let attacks: [(&str, fn(&Log, u64) -> String); 8] = [
        ("a changed byte", changed_byte),
        ("a deleted row", deleted_row),
        ("a deleted row with its leaf", deleted_leaf),
        ("a deleted row and leaf, the others moved up", closed_gap),
        ("an inserted row", inserted_row),
        ("two leaves exchanged", exchanged),
        ("the end cut off", cut),
        ("a row rewritten with its hashes", rewritten),
    ];
    std::thread::scope(|scope| {
        let halves = attacks.chunks(attacks.len() / 2);
        let workers: Vec<_> = halves
            .map(|half| {
                let log = &log;
                scope.spawn(move || {
                    for (what, attack) in half {
                        for _ in 0..n_places() {
                            let place = random(ROWS - 1);
                            log.finds(what, place, &attack(log, place));
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    for _ in 0..n_places() {
        exchanged_checkpoints(&log);
    }
}

fn changed_byte(_: &Log, place: u64) -> String {
    let byte = random(32);
    let change = match random(7) {
        0 => "actor = overlay(actor placing chr(ascii(actor) # 1) from 1 for 1)".to_owned(),
        1 => "received_at = received_at + interval '1 microsecond'".to_owned(),
        2 => "input_bytes = input_bytes # 1".to_owned(),
        3 => "timings = jsonb_set(timings, '{admission}', to_jsonb((timings->>'admission')::float8 + 1e-9))"
            .to_owned(),
        4 => "request_id = overlay(request_id placing '_' from 3 for 1)".to_owned(),
        5 => "site = site || '_'".to_owned(),
        _ => format!("input_digest = set_byte(input_digest, {byte}, get_byte(input_digest, {byte}) # 1)"),
    };
    format!("update predictions set {change} where id = {}", row_at(place))
}

fn deleted_row(_: &Log, place: u64) -> String {
    format!("delete from predictions where id = {}", row_at(place))
}

fn deleted_leaf(log: &Log, place: u64) -> String {
    format!("{}; delete from audit_leaves where leaf_index = {place}", deleted_row(log, place))
}

fn closed_gap(log: &Log, place: u64) -> String {
    format!("{}; {}", deleted_leaf(log, place), shift(place + 1, -1))
}

/// A row that looks like another, under an id of its own, with the leaf that it should have.
fn inserted_row(log: &Log, place: u64) -> String {
    let row = &log.rows[place as usize];
    let id = &serde_json::from_str::<serde_json::Value>(row).unwrap()["id"];
    let id = id.as_str().unwrap();
    let forged = format!("{}{}", &id[..35], if id.ends_with('0') { '1' } else { '0' });
    let leaf = leaf_of(&row.replace(id, &forged));
    format!(
        "create temporary table forged as select * from predictions where id = '{id}'; \
         update forged set id = '{forged}'; insert into predictions select * from forged; {}\
         insert into audit_leaves values ({place}, '{forged}', '\\x{leaf}')",
        shift(place, 1)
    )
}

fn exchanged(_: &Log, place: u64) -> String {
    let other = place + 1 + random(ROWS - 1 - place);
    format!(
        "update audit_leaves set leaf_index = 100000 where leaf_index = {place}; \
         update audit_leaves set leaf_index = {place} where leaf_index = {other}; \
         update audit_leaves set leaf_index = {other} where leaf_index = 100000"
    )
}

fn cut(_: &Log, place: u64) -> String {
    format!(
        "delete from predictions where id in (select prediction_id from audit_leaves where leaf_index >= {place}); \
         delete from audit_leaves where leaf_index >= {place}; \
         delete from audit_checkpoints where tree_size > {place}"
    )
}

/// The row says something else, its leaf fits, and the checkpoints that would betray it are gone from the database.
fn rewritten(log: &Log, place: u64) -> String {
    let row = log.rows[place as usize].replace("\"actor\":\"tester\"", "\"actor\":\"nobody\"");
    assert_ne!(row, log.rows[place as usize]);
    format!(
        "update predictions set actor = 'nobody' where id = {}; \
         update audit_leaves set leaf_hash = '\\x{}' where leaf_index = {place}; \
         delete from audit_checkpoints where tree_size > {place}",
        row_at(place),
        leaf_of(&row)
    )
}

fn exchanged_checkpoints(log: &Log) {
    let cluster = postgres::shared();
    let sizes = cluster.psql(&log.database, "select tree_size from audit_checkpoints order by 1");
    let sizes: Vec<u64> = sizes.lines().map(|size| size.parse().unwrap()).collect();
    let one = random(sizes.len() as u64 - 1);
    let other = one + 1 + random(sizes.len() as u64 - 1 - one);
    let (one, other) = (sizes[one as usize], sizes[other as usize]);
    let statements = format!(
        "create temporary table notes as select tree_size, note, root_hash from audit_checkpoints; \
         update audit_checkpoints c set note = n.note, root_hash = n.root_hash from notes n \
         where (c.tree_size, n.tree_size) in (({one}, {other}), ({other}, {one}))"
    );
    log.finds("two checkpoints exchanged", one, &statements);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_from_an_old_backup_with_the_right_key_is_found() {
    let log = Log::fill().await;
    let cluster = postgres::shared();
    let copy = cluster.copy(&log.database);
    let back = ROWS / 2;
    let triggers = "alter table predictions disable trigger all; alter table audit_leaves disable trigger all; \
        alter table audit_hashes disable trigger all; alter table audit_checkpoints disable trigger all; ";
    let positions = tlog_tiles::stored_hash_count(back);
    let older = format!("{}; delete from audit_hashes where position >= {positions}", cut(&log, back));
    cluster.psql(&copy, &format!("{triggers}{older}"));
    let url = cluster.url(&copy);
    // Without an anchor the service has no way to know.
    let server = Options::on(&url).start_ready().await;
    for n in 0..ROWS - back {
        assert_eq!(server.post("", images::jpeg(n, true)).await.status(), 200);
    }
    sequenced(&url, ROWS).await;
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let exported = export(&url, folder.path());
    assert_eq!(verify(&exported, &[]).0, 0, "every checkpoint of it is signed");
    let (status, report) = verify(&exported, &["--checkpoints".as_ref(), log.anchor().as_os_str()]);
    assert_eq!((status, report["findings"][0]["leaf_index"].as_u64()), (1, Some(back)), "{report}");
}
