//! The technical report. Its prose is in `report/templates/`; its values come from the files that other
//! commands wrote to the run directory. Where a value is missing, the report says why.

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

pub const FILE: &str = crate::release::origin::REPORT;
/// Folder of the figures, beside the report.
const FIGURES: &str = "figures";

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$((concat!($name, ".md"), include_str!(concat!("report/templates/", $name, ".md.j2")))),*]
    };
}
const TEMPLATES: &Templates = templates![
    "appendix",
    "calibration",
    "dataset",
    "deployment",
    "evaluation",
    "explainability",
    "findings",
    "images",
    "macros",
    "model",
    "performance",
    "processing",
    "report",
    "reproducibility",
    "robustness",
    "subgroups",
    "without_network",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Links to figures.
    Illustrated,
    /// Links to figures, except those that show images of the data set.
    WithoutImages,
    /// Names of figures only, as in a bundle.
    TextAlone,
}

/// Writes `REPORT.md` and its folder `figures` to `folder`; returns the report's path.
pub fn report(trained: &TrainedRun, elsewhere: &Elsewhere, folder: &Path, form: Form) -> Result<PathBuf> {
    let mut sources = Sources::read(trained, elsewhere)?;
    if form == Form::TextAlone {
        // Any bundle on file is older than the one that will contain this text.
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

fn figure_folders(sources: &Sources) -> Vec<PathBuf> {
    let run = sources.trained.run;
    let study = sources.study.as_ref().ok().map(|study| study.folder.join(FIGURES));
    [run.file(FIGURES), run.file("")].into_iter().chain(study).collect()
}

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

/// Images of the data set must not stay beside a new report without images.
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
