//! The technical report: the prose is in `report/templates/`, the values come from the files that the other
//! commands left in the run directory. What was not measured says why.

mod context;
mod pictures;
mod plots;
pub mod sources;

use crate::files::write_atomically;
use crate::markdown::{self, Templates};
use crate::progress::say;
use crate::release::origin::Origin;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result};
use pictures::Pictures;
use sources::{Elsewhere, Sources};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The report's file, in its folder and in a bundle.
pub const FILE: &str = crate::release::origin::REPORT;
/// The folder of its figures beside it.
const FIGURES: &str = "figures";

const TEMPLATES: &Templates = &[
    ("appendix.md", include_str!("report/templates/appendix.md.j2")),
    ("calibration.md", include_str!("report/templates/calibration.md.j2")),
    ("dataset.md", include_str!("report/templates/dataset.md.j2")),
    ("deployment.md", include_str!("report/templates/deployment.md.j2")),
    ("evaluation.md", include_str!("report/templates/evaluation.md.j2")),
    ("explainability.md", include_str!("report/templates/explainability.md.j2")),
    ("findings.md", include_str!("report/templates/findings.md.j2")),
    ("images.md", include_str!("report/templates/images.md.j2")),
    ("macros.md", include_str!("report/templates/macros.md.j2")),
    ("model.md", include_str!("report/templates/model.md.j2")),
    ("performance.md", include_str!("report/templates/performance.md.j2")),
    ("processing.md", include_str!("report/templates/processing.md.j2")),
    ("report.md", include_str!("report/templates/report.md.j2")),
    ("reproducibility.md", include_str!("report/templates/reproducibility.md.j2")),
    ("robustness.md", include_str!("report/templates/robustness.md.j2")),
    ("subgroups.md", include_str!("report/templates/subgroups.md.j2")),
    ("without_network.md", include_str!("report/templates/without_network.md.j2")),
];

/// How a report shows its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Linked, in a folder beside the report.
    Illustrated,
    /// Linked, without the figures that show images of the dataset.
    WithoutImages,
    /// Named only, as in a bundle.
    TextAlone,
}

/// Writes `REPORT.md` into a folder, and its figures into `figures` below it; returns the report's path.
pub fn report(trained: &TrainedRun, elsewhere: &Elsewhere, folder: &Path, form: Form) -> Result<PathBuf> {
    let mut sources = Sources::read(trained, elsewhere)?;
    if form == Form::TextAlone {
        // The bundle on file is the one that this text will be part of.
        sources.release = Err("this copy was written before the bundle around it was signed".to_owned());
    }
    if let Ok(fitness) = &sources.fitness {
        fitness.write(trained.run)?;
    }
    let pictures = Arc::new(Pictures::new(form, figure_folders(&sources), drawings(&sources)?));
    let mut environment = markdown::environment(TEMPLATES)?;
    let (figure, optional) = (Arc::clone(&pictures), Arc::clone(&pictures));
    environment.add_function("figure", move |name: String, caption: String| figure.show(&name, &caption));
    environment.add_function("figure_if_any", move |name: String, caption: String| {
        optional.show_if_any(&name, &caption)
    });
    let mut text = markdown::render(&environment, "report.md", context::of(&sources)?)?;
    text.push_str(&Origin::of(trained.config, trained.run, &trained.index)?.mark()?);
    let file = folder.join(FILE);
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    if form != Form::TextAlone {
        let place = folder.join(FIGURES);
        std::fs::create_dir_all(&place).with_context(|| format!("{}: cannot be created", place.display()))?;
        remove_pictures(folder)?;
        for (name, content) in pictures.take_shown() {
            write_atomically(&place.join(name), &content)?;
        }
    }
    write_atomically(&file, text.as_bytes())?;
    let n_missing = text.matches("not measured: ").count();
    say(format!("{}: {} lines, {n_missing} not measured", file.display(), text.lines().count()));
    Ok(file)
}

/// Where other commands put their figures.
fn figure_folders(sources: &Sources) -> Vec<PathBuf> {
    let run = sources.trained.run;
    let study = sources.study.as_ref().ok().map(|study| study.folder.join(FIGURES));
    [run.file(FIGURES), run.file("")].into_iter().chain(study).collect()
}

/// The figures that no other command draws.
fn drawings(sources: &Sources) -> Result<BTreeMap<String, Vec<u8>>> {
    let evaluations = sources.evaluations.iter().filter_map(|(_, found)| found.as_ref().ok());
    let matrices = evaluations.map(|file| {
        let fold = file.fold.name();
        (format!("confusion-{fold}.svg"), plots::confusion(fold, &file.confusion).into_bytes())
    });
    let mut drawn: BTreeMap<_, _> = matrices.collect();
    if let Ok(calibrated) = &sources.calibrated {
        drawn.insert("drift-reference.svg".to_owned(), plots::reference(&calibrated.reference)?.into_bytes());
    }
    Ok(drawn)
}

/// Removes the figures of the report that is replaced: an illustrated one must not leave images of the
/// dataset behind in one without images.
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
