//! Checks that bundle, report and version do not conflict with those of another run, before any work.

use super::origin::Origin;
use crate::bundle::version::{Bump, ExistingBundle, expected};
use crate::config::Config;
use crate::data::index::Index;
use crate::run::RunDirectory;
use crate::tracking::conflicts::{RequestedVersion, name_conflicts};
use anyhow::{Result, ensure};
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
    /// Fails with all conflicts, one per line.
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
        let lines: Vec<String> = conflicts.iter().map(|conflict| format!("{conflict:#}")).collect();
        ensure!(lines.is_empty(), "{}", lines.join("\n"));
        Ok(())
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
        let conflicts = name_conflicts(
            &config.tracking,
            &run.file(""),
            &RequestedVersion { bundle: &export.name, version: &version },
        )?;
        ensure!(conflicts.is_empty(), "{}", conflicts.join("; "));
        Ok(())
    }
}
