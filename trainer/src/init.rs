//! Writes a configuration for a folder of radiographs: inspects it, and asks for what only a person knows.

pub mod answers;
mod inspection;
mod key;
pub mod questions;
mod settings;
mod template;

use crate::config::Config;
use crate::data::count::{self, count};
use crate::data::entry::OfficialSplit;
use crate::data::index::Index;
use crate::export::signing_key;
use crate::progress::say;
use answers::Answers;
use anyhow::{Context, Result, ensure};
use inspection::Inspection;
use questions::Questions;
use settings::settings;
use std::path::{Path, PathBuf};

/// Writes a configuration for `folder` to `out` after indexing the data with it.
pub fn init(
    folder: &Path,
    out: &Path,
    replace: bool,
    answers: &Answers,
    questions: &mut Questions,
) -> Result<()> {
    ensure!(
        replace || !out.exists(),
        "{}: exists; overwrite it with --replace, or name another file with --out",
        out.display()
    );
    let inspection = Inspection::of(folder)?;
    say(format!("{}: {}", inspection.root.display(), inspection.describe()));
    let settings = settings(&inspection, answers, questions)?;
    let run = unused_run();
    let file = Draft::write(out, &template::render(&inspection, &settings, out, &run))?;
    let config = Config::load(std::slice::from_ref(&file.path), None)?;
    config.check_for_bundle()?;
    let index = Index::of(&config)?;
    count::print(&count(index.entries.iter().map(|entry| (part(entry.split), entry))), |part| part);
    say(format!("{} files of {} patients", index.entries.len(), index.n_patients()));
    if settings.signing_key.exists() {
        signing_key(&settings.signing_key)?;
    } else {
        let (public, gitignore) = key::make(&settings.signing_key)?;
        say(format!(
            "{}: new private key to sign bundles; keep it secret, and keep a copy elsewhere: {} tells git to ignore it. To verify bundles, use {}",
            settings.signing_key.display(),
            gitignore.display(),
            public.display()
        ));
    }
    file.keep(out)?;
    say(format!("{0}: written. Next: cxr-trainer run --config {0} --run {run}", out.display()));
    Ok(())
}

/// Name of a published split; data without one has a single part.
const fn part(split: OfficialSplit) -> &'static str {
    match split {
        OfficialSplit::None => "all",
        split => split.name(),
    }
}

fn unused_run() -> String {
    let named = ["first", "second", "third", "fourth", "fifth"].map(str::to_owned);
    let mut runs =
        named.into_iter().chain((6..).map(|n: u64| n.to_string())).map(|name| format!("runs/{name}"));
    runs.find(|run| !Path::new(run).exists()).unwrap_or_default()
}

/// A temporary file until the configuration is known to work.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(out: &Path, text: &str) -> Result<Self> {
        let draft = Self { path: out.with_added_extension(format!("{}.partial", std::process::id())) };
        std::fs::write(&draft.path, text)
            .with_context(|| format!("{}: cannot be written", draft.path.display()))?;
        Ok(draft)
    }

    fn keep(self, out: &Path) -> Result<()> {
        std::fs::rename(&self.path, out).with_context(|| format!("{}: cannot be written", out.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `keep`, it does not exist.
        let _ = std::fs::remove_file(&self.path);
    }
}
