//! The target of the attacks: a log of many rows under several anchored checkpoints, and the verifier's
//! findings about it.

use crate::forgery;
use crate::log::{anchored, export, sequenced, verify};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use system_tests::server::{Options, Server};
use system_tests::{images, postgres, tokens};

/// A multiple of 6: a checkpoint follows every sixth row. The last rows are rejections.
pub(crate) const ROWS: u64 = 54;
/// Rows that are predictions, at least one for each column of the table. They have every column but `reason`
/// and `age_years` (the site states the ages); the others are rejections.
pub(crate) const PREDICTED: u64 = 46;

/// A log of [`ROWS`] rows under several anchored checkpoints, in a database without connections.
pub(crate) struct Target {
    pub(crate) database: String,
    folder: tempfile::TempDir,
    pub(crate) log: forgery::Log,
}

async fn post(server: &Server, n: u64) {
    let image = if n < PREDICTED { images::jpeg(n, n.is_multiple_of(2)) } else { images::blank() };
    let request = server.prediction("?view=AP&modality=CR");
    let request = request.bearer_auth(tokens::token("predict")).header("x-subject-id", format!("MRN {n}"));
    let status = request.body(image).send().await.unwrap().status();
    assert_eq!(status, if n < PREDICTED { 200 } else { 422 });
}

impl Target {
    pub(crate) async fn fill() -> Self {
        let cluster = postgres::shared();
        let url = cluster.database();
        let folder = tempfile::tempdir().unwrap();
        let anchor = folder.path().join("anchor");
        let options = Options::on(&url).set("audit.anchor.directory", &anchor.display());
        let options = options.set("audit.anchor.interval_ms", &1).set("audit.sequence.interval_ms", &100);
        let server = options.start_ready().await;
        for n in 0..ROWS {
            post(&server, n).await;
            if n % 6 == 5 {
                sequenced(&url, n + 1).await;
                anchored(&anchor, n + 1).await;
            }
        }
        drop(server);
        let text = std::fs::read_to_string(export(&url, folder.path())).unwrap();
        let log = forgery::Log::parse(&text);
        assert_eq!((log.leaves.len() as u64, log.export()), (ROWS, text));
        Self { database: postgres::name(&url).to_owned(), folder, log }
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.folder.path().join("anchor")
    }

    pub(crate) fn anchors(&self) -> BTreeSet<u64> {
        let size = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".checkpoint")?.parse().ok()
        };
        std::fs::read_dir(self.anchor()).unwrap().filter_map(size).collect()
    }

    /// The size of the last checkpoint at or below a leaf index, or 0.
    pub(crate) fn checkpoint_before(&self, index: u64) -> u64 {
        self.log.checkpoints.range(..=index).next_back().map_or(0, |(size, _)| *size)
    }

    pub(crate) fn checkpoint_after(&self, index: u64) -> u64 {
        *self.log.checkpoints.range(index + 1..).next().unwrap().0
    }

    pub(crate) fn anchor_after(&self, index: u64) -> u64 {
        *self.anchors().range(index + 1..).next().unwrap()
    }

    /// The export of a copy of the database after these statements.
    pub(crate) fn attacked(&self, statements: &str) -> String {
        let cluster = postgres::shared();
        let copy = cluster.copy(&self.database);
        cluster.psql(&copy, &format!("{DISARM}{statements}"));
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(export(&cluster.url(&copy), folder.path())).unwrap();
        cluster.psql("postgres", &format!("drop database {copy}"));
        text
    }

    /// What the verifier finds in an export with the anchor: first leaf indices and numbers of leaves.
    pub(crate) fn findings(&self, export: &str) -> Vec<(u64, u64)> {
        findings(export, Some(&self.anchor()))
    }
}

/// Disables the triggers.
pub(crate) const DISARM: &str = "set client_min_messages to error; alter table predictions disable trigger all; \
    alter table audit_leaves disable trigger all; alter table audit_hashes disable trigger all; \
    alter table audit_checkpoints disable trigger all; ";

pub(crate) fn findings(export: &str, anchor: Option<&Path>) -> Vec<(u64, u64)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), export).unwrap();
    let arguments = anchor.map(|anchor| ["--checkpoints".as_ref(), anchor.as_os_str()]);
    let (status, report) = verify(file.path(), arguments.as_ref().map_or(&[], |arguments| &arguments[..]));
    let findings: Vec<(u64, u64)> = report["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("the export cannot be verified: {report}"))
        .iter()
        .map(|finding| (finding["leaf_index"].as_u64().unwrap(), finding["n_leaves"].as_u64().unwrap()))
        .collect();
    assert_eq!(status, i32::from(!findings.is_empty()), "{report}");
    findings
}

/// Pseudorandom numbers (SplitMix64), the same in every run.
pub(crate) fn random(below: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}
