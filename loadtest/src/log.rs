//! `log`: times `cxr-service audit verify` on a large export, in turn with bare hashing of the same file.

use crate::bench::{Interval, peak_resident_bytes};
use crate::terminal::print;
use anyhow::{Context, Result, ensure};
use clap::Args as Arguments;
use serde::Serialize;
use sha2::{Digest, Sha256};
use signed_note::{Note, StandardSigner};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tlog_tiles::{
    Error, Hash, HashReader, record_hash, stored_hash_index, stored_hashes, sub_tree_index, tree_hash,
};

/// The canonical form of a row, with placeholders for the id and the digest of the upload.
const ROW: &str = include_str!("log/row.json");
const ORIGIN: &str = "measurement.cxr.invalid/log";
/// Leaves between two checkpoints: 4 per second at 250 rows per second.
const CHECKPOINT_EVERY: u64 = 64;

/// Options of `cxr-loadtest log`.
#[derive(Debug, Arguments)]
#[command(after_help = "Example:\n  cxr-loadtest log --rows 1000000 --out target/bench/log")]
pub struct Args {
    /// Rows of the log; a million take 2.3 GB.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Folder for log.json and for the export, which is deleted afterwards.
    #[arg(long, default_value = "target/bench/log")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Measured {
    rows: u64,
    bytes: u64,
    /// Seconds of the verifier.
    verify_seconds: Interval,
    /// Seconds to read and hash the file once.
    hash_seconds: Interval,
    /// Ratio of the verifier to bare hashing, formed per round.
    ratio: Interval,
    /// Peak resident memory of the verifier in bytes.
    peak_memory_bytes: u64,
}

pub fn run(args: &Args) -> Result<std::process::ExitCode> {
    std::fs::create_dir_all(&args.out)?;
    let export = args.out.join("log.ndjson");
    let anchor = args.out.join("anchor");
    std::fs::create_dir_all(&anchor)?;
    print(format_args!("writing {} rows to {}", args.rows, export.display()));
    let public_key = write(&export, &anchor, args.rows)?;
    let service = std::env::current_exe()?.with_file_name("cxr-service");
    let (mut verified, mut hashed, mut ratios, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 1..=args.rounds {
        let hash = timed(|| hash(&export))?;
        let verify = timed(|| {
            peak = peak.max(verify(&service, &export, &anchor, &public_key)?);
            Ok(())
        })?;
        print(format_args!(
            "round {round}/{}: verified in {verify:.1} s, hashed in {hash:.1} s",
            args.rounds
        ));
        verified.push(verify);
        hashed.push(hash);
        ratios.push(verify / hash);
    }
    let median = |values: &[f64]| Interval::of_median(values, 42).context("no figures");
    let measured = Measured {
        rows: args.rows,
        bytes: std::fs::metadata(&export)?.len(),
        verify_seconds: median(&verified)?,
        hash_seconds: median(&hashed)?,
        ratio: median(&ratios)?,
        peak_memory_bytes: peak,
    };
    std::fs::remove_file(&export)?;
    let report = serde_json::to_string_pretty(&measured)?;
    std::fs::write(args.out.join("log.json"), &report)?;
    print(report);
    Ok(std::process::ExitCode::SUCCESS)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

#[derive(Default)]
struct Edge(BTreeMap<u64, Hash>);

impl HashReader for Edge {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        let found = positions.iter().map(|at| self.0.get(at).copied());
        found.collect::<Option<_>>().ok_or(Error::IndexesNotInTree)
    }
}

/// Writes the export and its last checkpoint, and returns the public key.
fn write(export: &Path, anchor: &Path, rows: u64) -> Result<String> {
    let (private, public) = signed_note::generate_key(&mut rand_core::OsRng, ORIGIN);
    let signer = StandardSigner::new(&private).context("a key of our own")?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(export)?);
    let mut edge = Edge::default();
    for index in 0..rows {
        let id = format!("{:08x}-{:04x}-7000-8000-{index:012x}", 0x01a2_19c7, index >> 48);
        let row = ROW.trim().replace("$ID", &id).replace("$DIGEST", &format!("{index:064x}"));
        let row_hash = Hash(Sha256::digest(row.as_bytes()).into());
        let bytes = u128::from_str_radix(&id.replace('-', ""), 16)?.to_be_bytes();
        let entry = [bytes.as_slice(), &row_hash.0].concat();
        let leaf = record_hash(&entry);
        writeln!(
            out,
            "{{\"leaf_index\":{index},\"id\":\"{id}\",\"leaf_hash\":\"{leaf}\",\"row_hash\":\"{row_hash}\",\"recorded_at\":\"2026-11-26T21:33:43.142881Z\",\"row\":{row}}}"
        )?;
        let stored = stored_hashes(index, &entry, &edge)?;
        edge.0.extend((stored_hash_index(0, index)..).zip(stored));
        let size = index + 1;
        let needed = sub_tree_index(0, size, Vec::new());
        edge.0.retain(|at, _| needed.contains(at));
        if size % CHECKPOINT_EVERY == 0 || size == rows {
            let root = tree_hash(size, &edge)?;
            let mut note = Note::new(format!("{ORIGIN}\n{size}\n{root}\n").as_bytes(), &[])?;
            note.add_sigs(&[&signer])?;
            let note = String::from_utf8(note.to_bytes())?;
            writeln!(out, "{}", serde_json::json!({ "tree_size": size, "checkpoint": note }))?;
            if size == rows {
                std::fs::write(anchor.join(format!("{size:020}.checkpoint")), note)?;
            }
        }
    }
    out.flush()?;
    Ok(public)
}

fn hash(path: &Path) -> Result<()> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    std::hint::black_box(hasher.finalize());
    Ok(())
}

/// Runs the verifier, and returns its peak resident memory.
fn verify(service: &Path, export: &Path, anchor: &Path, key: &str) -> Result<u64> {
    let mut child = Command::new(service)
        .args(["audit", "verify", "--json", "--public-key", key, "--export"])
        .arg(export)
        .arg("--checkpoints")
        .arg(anchor)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .with_context(|| format!("{} (cargo build --release --bins)", service.display()))?;
    let mut peak = 0;
    loop {
        // A process that has ended has no peak any more.
        peak = peak.max(peak_resident_bytes(child.id()).unwrap_or(0));
        if let Some(ended) = child.try_wait()? {
            ensure!(ended.success(), "the verifier reported findings in a correct log");
            return Ok(peak);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
