//! Every defect of a data set, collected so that one refusal names them all.

use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// Examples of one kind that are shown.
const SHOWN: usize = 20;

/// What is wrong, by kind, in the order in which the kinds are declared here.
#[derive(Debug, Default)]
pub(super) struct Defects(BTreeMap<Kind, Vec<String>>);

/// A kind of mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A value that its column cannot have.
    Value,
    /// A second line about a file.
    DuplicateLine,
    /// A line whose file is not there.
    LineWithoutFile,
    /// A line whose file lies where no class is.
    LineOutside,
    /// A file without a line.
    FileWithoutLine,
    /// A label that the configuration does not list.
    UnknownLabel,
    /// A label that is not that of the class folder.
    Contradiction,
}

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::Value => "values do not fit their column",
            Self::DuplicateLine => "lines are about a file that has a line already",
            Self::LineWithoutFile => {
                "lines name a file that is not there (paths begin below the data set's folder)"
            }
            Self::LineOutside => "lines name a file that lies in no class folder",
            Self::FileWithoutLine => "files have no line",
            Self::UnknownLabel => "labels are not listed in trainer.data.classes",
            Self::Contradiction => "labels contradict the class folder of their file",
        }
    }
}

impl Defects {
    /// Remembers one.
    pub(super) fn add(&mut self, kind: Kind, what: String) {
        self.0.entry(kind).or_default().push(what);
    }

    /// Nothing, or one error about all of them.
    pub(super) fn check(&self, of: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let kinds = self
            .0
            .iter()
            .map(|(kind, found)| format!("{} {}:\n{}", found.len(), kind.title(), listed(found)));
        bail!("{of}: cannot be used as it is\n{}", kinds.collect::<Vec<_>>().join("\n"))
    }
}

/// The first of a list, one a line, and how many more there are.
pub(super) fn listed(found: &[String]) -> String {
    let mut lines: Vec<String> = found.iter().take(SHOWN).map(|what| format!("  {what}")).collect();
    if found.len() > SHOWN {
        lines.push(format!("  and {} more", found.len() - SHOWN));
    }
    lines.join("\n")
}
