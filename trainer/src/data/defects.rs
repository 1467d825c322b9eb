//! Collects the defects of a table, so that one error lists them all.

use anyhow::{Result, bail};
use std::collections::BTreeMap;

const SHOWN: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Defects(BTreeMap<Kind, Vec<String>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Value,
    DuplicateLine,
    LineWithoutFile,
    LineOutside,
    FileWithoutLine,
    UnknownLabel,
    Contradiction,
}

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::Value => "values do not fit their column",
            Self::DuplicateLine => "lines name a file that another line names",
            Self::LineWithoutFile => {
                "lines name a file that does not exist (paths are relative to the data set's folder)"
            }
            Self::LineOutside => "lines name a file outside of the class folders",
            Self::FileWithoutLine => "files have no line",
            Self::UnknownLabel => "labels are not listed in trainer.data.classes",
            Self::Contradiction => "labels contradict the class folder of their file",
        }
    }
}

impl Defects {
    pub(super) fn add(&mut self, kind: Kind, what: String) {
        self.0.entry(kind).or_default().push(what);
    }

    /// One error about all defects, with examples of every kind.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let kinds = self
            .0
            .iter()
            .map(|(kind, found)| format!("{} {}:\n{}", found.len(), kind.title(), listed(found)));
        bail!("{name}: cannot be used\n{}", kinds.collect::<Vec<_>>().join("\n"))
    }
}

/// The first [`SHOWN`], one per line, and the number of others.
pub(super) fn listed(found: &[String]) -> String {
    let mut lines: Vec<String> = found.iter().take(SHOWN).map(|what| format!("  {what}")).collect();
    if found.len() > SHOWN {
        lines.push(format!("  and {} more", found.len() - SHOWN));
    }
    lines.join("\n")
}
