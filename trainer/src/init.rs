//! Writes a configuration for a folder of radiographs: examines it, and asks for what no program can know.

pub mod answers;
mod key;
mod look;
pub mod questions;
mod settle;
mod written;

use crate::config::Config;
use crate::data::count::{count, count_lines};
use crate::data::entry::OfficialSplit;
use crate::data::index::Index;
use crate::export::signing_key;
use crate::progress::say;
use answers::Answers;
use anyhow::{Context, Result, ensure};
use look::Look;
use questions::Questions;
use settle::settle;
use std::path::{Path, PathBuf};

/// Writes the configuration for a folder to `out`, once the data was indexed with it.
pub fn init(
    folder: &Path,
    out: &Path,
    replace: bool,
    answers: &Answers,
    questions: &mut Questions,
) -> Result<()> {
    ensure!(
        replace || !out.exists(),
        "{}: is there already; --replace writes it anew, --out names another file",
        out.display()
    );
    let look = Look::at(folder)?;
    say(format!("{}: {}", look.root.display(), look.describe()));
    let settled = settle(&look, answers, questions)?;
    let run = free_run();
    let file = Draft::write(out, &written::written(&look, &settled, out, &run))?;
    let config = Config::load(std::slice::from_ref(&file.path), None)?;
    config.check_for_bundle()?;
    let index = Index::of(&config)?;
    for line in count_lines(
        count(index.entries.iter().map(|entry| (part(entry.split), entry)))
            .iter()
            .map(|(split, of)| (*split, of)),
    ) {
        say(line);
    }
    say(format!("{} files of {} patients", index.entries.len(), index.n_patients()));
    if settled.signing_key.exists() {
        signing_key(&settled.signing_key)?;
    } else {
        let (public, ignoring) = key::make(&settled.signing_key)?;
        say(format!(
            "{}: a new private key that signs bundles; keep it secret, and keep a copy of it elsewhere: {} tells git to ignore it. Who checks the bundles needs {}",
            settled.signing_key.display(),
            ignoring.display(),
            public.display()
        ));
    }
    file.keep(out)?;
    say(format!("{0}: written. Next: cxr-trainer run --config {0} --run {run}", out.display()));
    Ok(())
}

/// What a part of the data is called here: data without a split has one part.
const fn part(split: OfficialSplit) -> &'static str {
    match split {
        OfficialSplit::None => "all",
        split => split.name(),
    }
}

/// A run directory of which there is nothing yet.
fn free_run() -> String {
    let named = ["first", "second", "third", "fourth", "fifth"].map(str::to_owned);
    let mut runs =
        named.into_iter().chain((6..).map(|n: u64| n.to_string())).map(|name| format!("runs/{name}"));
    runs.find(|run| !Path::new(run).exists()).unwrap_or_default()
}

/// The file under another name, until it is known to work.
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
        // After `keep` it is not there any more.
        let _ = std::fs::remove_file(&self.path);
    }
}
