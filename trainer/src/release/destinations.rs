//! Checks before anything is computed that bundle, report and version do not conflict with those of another run.

use super::origin::Origin;
use crate::bundle::version::{Bump, ExistingBundle, expected};
use crate::config::Config;
use crate::data::index::Index;
use crate::run::RunDirectory;
use crate::tracking::taken::{Wanted, taken};
use anyhow::{Result, bail};
use std::path::Path;

/// Where the results of a run will be written.
#[derive(Debug)]
pub struct Destinations<'a> {
    pub config: &'a Config,
    pub run: &'a RunDirectory,
    pub index: &'a Index,
    pub bundle: &'a Path,
    pub bump: Option<Bump>,
    /// Folder of the report, if one is written.
    pub reports: Option<&'a Path>,
    /// Whether the bundle will be registered.
    pub registers: bool,
    /// Whether bundle and report of another run may be replaced.
    pub replace: bool,
}

impl Destinations<'_> {
    /// Fails with all conflicts and what can be done about each.
    pub fn check(&self) -> Result<()> {
        let Self { config, run, index, replace, .. } = *self;
        let origin = Origin::of(config, run, index)?;
        let mut conflicts = Vec::new();
        if let Some(reports) = self.reports {
            conflicts.extend(origin.ensure_report_replaceable(run, reports, replace).err());
        }
        match origin.ensure_bundle_replaceable(run, self.bundle, replace) {
            Ok(()) => conflicts.extend(self.check_version(&origin).err()),
            Err(conflict) => conflicts.push(conflict),
        }
        match conflicts.len() {
            0 => Ok(()),
            1 => bail!("{:#}", conflicts[0]),
            _ => {
                let lines: Vec<String> = conflicts.iter().map(|conflict| format!("- {conflict:#}")).collect();
                bail!("names that are taken:\n{}", lines.join("\n"))
            }
        }
    }

    fn check_version(&self, origin: &Origin) -> Result<()> {
        let Self { config, run, bump, .. } = *self;
        let existing = ExistingBundle::read(self.bundle)?;
        // Once there are weights, the export itself compares them with those of the existing bundle.
        let own = run.is_trained() || origin.owns_bundle(self.bundle)? == Some(true);
        let export = &config.export;
        let version = expected(existing.as_ref(), own, &export.name, &export.version, bump)?;
        if !self.registers {
            return Ok(());
        }
        let conflicts =
            taken(&config.tracking, &run.file(""), &Wanted { bundle: &export.name, version: &version })?;
        if conflicts.is_empty() { Ok(()) } else { bail!("{}", conflicts.join("; ")) }
    }
}
