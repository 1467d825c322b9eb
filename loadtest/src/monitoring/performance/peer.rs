//! NannyML in a process of its own (loadtest/cbpe_peer.py).

use anyhow::{Context, Result, ensure};
use monitoring::performance::estimate::Known;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Value and bounds by figure, by job.
pub(super) type Estimates = BTreeMap<String, BTreeMap<String, [f64; 3]>>;

/// Estimates each job: its reference with labels, and its window.
pub(super) fn estimates(
    python: &Path,
    folder: &Path,
    jobs: &[(String, &[Known], &[Known])],
) -> Result<Estimates> {
    let mut table = String::from("job,set,probability,prediction,label\n");
    for (job, reference, window) in jobs {
        for (set, images) in [("reference", reference), ("window", window)] {
            for image in *images {
                let [prediction, label] = [image.scored.is_flagged(), image.positive].map(u8::from);
                writeln!(table, "{job},{set},{},{prediction},{label}", image.scored.probability)?;
            }
        }
    }
    let (source, target) = (folder.join("windows.csv"), folder.join("estimates.json"));
    std::fs::write(&source, table)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cbpe_peer.py");
    let status = Command::new(python).arg(script).arg(&source).arg(&target).status();
    let status = status.with_context(|| format!("{}: cannot be started", python.display()))?;
    ensure!(status.success(), "NannyML ended with {status}");
    Ok(serde_json::from_slice(&std::fs::read(&target)?)?)
}
