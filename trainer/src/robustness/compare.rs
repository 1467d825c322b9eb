//! Several models side by side: ablations that were trained elsewhere, each with its own `robustness.json`.

use super::{FILE, Robustness};
use crate::console::say;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Prints what every folder holds, one row a model; ablations of the augmentation are runs of their own.
///
/// # Errors
/// When a folder holds no result, or results of different data, which cannot be compared.
pub fn compare(folders: &[PathBuf]) -> Result<Vec<Robustness>> {
    let results = folders
        .iter()
        .map(|folder| {
            Robustness::load(folder)?.with_context(|| {
                format!(
                    "{}: not there; run `cxr-trainer robustness` on it first",
                    folder.join(FILE).display()
                )
            })
        })
        .collect::<Result<Vec<_>>>()?;
    for (folder, result) in folders.iter().zip(&results).skip(1) {
        ensure!(
            (result.n, result.n_positive) == (results[0].n, results[0].n_positive),
            "{}: was measured on other images than {}",
            folder.display(),
            folders[0].display()
        );
    }
    say(format!("{:<28} {:>9} {:>9} {:>14} {:>14}", "run", "AUC", "log loss", "corrupted AUC", "log loss"));
    for (folder, result) in folders.iter().zip(&results) {
        let suite = result.corruptions.as_ref();
        let shown =
            |value: Option<f64>| value.map_or("not measured".to_owned(), |value| format!("{value:.4}"));
        say(format!(
            "{:<28} {:>9.4} {:>9.4} {:>14} {:>14}",
            folder.display(),
            result.clean.auc.value,
            result.clean.log_loss.value,
            shown(suite.map(|suite| suite.mean_auc.value)),
            shown(suite.map(|suite| suite.mean_log_loss.value)),
        ));
    }
    Ok(results)
}
