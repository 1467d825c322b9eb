//! The technical report: every heading filled from the files that the other commands left in the run directory, or "not
//! measured" with the reason. Nothing is computed here that another command would have to measure.

mod appendix;
mod calibration;
mod dataset;
mod deployment;
mod document;
mod evaluation;
mod explainability;
mod findings;
mod model;
mod plots;
mod processing;
mod provenance;
mod reproducibility;
mod robustness;
pub mod sources;
mod text;

use crate::files::write_atomically;
use crate::progress::say;
use crate::release::origin::Origin;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result};
use document::Document;
use sources::{Elsewhere, Sources};
use std::path::{Path, PathBuf};

/// The report's file, in its folder and in a bundle.
pub const FILE: &str = crate::release::origin::REPORT;
/// The folder of its figures beside it.
const FIGURES: &str = "figures";

/// Whether a report stands beside its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With the figures in a folder beside it, linked.
    Illustrated,
    /// The same without those that show images of the dataset, which must not be passed on with the report.
    WithoutImages,
    /// Alone, as in a bundle: figures are named.
    TextAlone,
}

/// Writes `REPORT.md` into a folder, and its figures into `figures` below it; returns the report's path.
///
/// # Errors
/// Names what cannot be read or written.
pub fn report(trained: &TrainedRun, elsewhere: &Elsewhere, folder: &Path, form: Form) -> Result<PathBuf> {
    let mut sources = Sources::read(trained, elsewhere)?;
    if form == Form::TextAlone {
        // What is on file is the bundle that this text will replace.
        sources.release = Err("this copy was written before the bundle around it was signed".to_owned());
    }
    if let Ok(fitness) = &sources.fitness {
        fitness.write(trained.run)?;
    }
    let mut document = Document::new(form);
    document.title(&format!("Technical report: {} ({})", sources.config().export.name, trained.run.name()));
    findings::summary(&sources, &mut document);
    dataset::write(&sources, &mut document);
    provenance::write(&sources, &mut document);
    processing::write(&sources, &mut document);
    model::write(&sources, &mut document);
    evaluation::write(&sources, &mut document);
    explainability::write(&sources, &mut document);
    robustness::write(&sources, &mut document)?;
    deployment::write(&sources, &mut document);
    reproducibility::write(&sources, &mut document);
    findings::write(&sources, &mut document);
    appendix::write(&sources, &mut document)?;

    let (mut text, figures) = document.finish();
    text.push_str(&Origin::of(trained.config, trained.run, &trained.index)?.mark()?);
    let file = folder.join(FILE);
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    if form != Form::TextAlone {
        let place = folder.join(FIGURES);
        std::fs::create_dir_all(&place).with_context(|| format!("{}: cannot be created", place.display()))?;
        remove_pictures(folder)?;
        for (name, content) in figures {
            write_atomically(&place.join(name), &content)?;
        }
    }
    write_atomically(&file, text.as_bytes())?;
    let n_missing = text.matches(document::NOT_MEASURED).count();
    say(format!("{}: {} lines, {n_missing} not measured", file.display(), text.lines().count()));
    Ok(file)
}

/// Removes the pictures of the report that is replaced: one that was illustrated must not leave images of the dataset
/// behind in one that is without.
fn remove_pictures(folder: &Path) -> Result<()> {
    let Ok(old) = std::fs::read_to_string(folder.join(FILE)) else { return Ok(()) };
    let opening = format!("]({FIGURES}/");
    let links = old.split(&opening).skip(1).filter_map(|rest| rest.split_once(')'));
    for (name, _) in links.filter(|(name, _)| !name.contains('/')) {
        let path = folder.join(FIGURES).join(name);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
        }
    }
    Ok(())
}
