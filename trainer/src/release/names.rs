//! Refuses names that are taken before anything is computed.

use super::origin::Origin;
use crate::bundle::version::{Bump, InPlace, expected};
use crate::config::Config;
use crate::data::index::Index;
use crate::run::RunDirectory;
use crate::tracking::conflicts::{RequestedVersion, name_conflicts};
use anyhow::{Result, bail};
use std::path::Path;

/// Where a run's results go, and how they are called.
#[derive(Debug)]
pub struct Names<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The run.
    pub run: &'a RunDirectory,
    /// The data.
    pub index: &'a Index,
    /// The bundle's folder.
    pub bundle: &'a Path,
    /// Raises the version of the bundle that is in place.
    pub bump: Option<Bump>,
    /// The report's folder; none where none is written.
    pub reports: Option<&'a Path>,
    /// Whether the bundle becomes a version of the registered model.
    pub registers: bool,
    /// Whether bundle and report of another run may be replaced.
    pub replace: bool,
}

impl Names<'_> {
    /// Refuses names that are taken.
    ///
    /// # Errors
    /// Lists all of them, and what can be done.
    pub fn check(&self) -> Result<()> {
        let Self { config, run, index, replace, .. } = *self;
        let origin = Origin::of(config, run, index)?;
        let mut conflicts = Vec::new();
        if let Some(reports) = self.reports {
            conflicts.extend(origin.ensure_report_may_go(run, reports, replace).err());
        }
        match origin.ensure_bundle_may_go(run, self.bundle, replace) {
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
        let in_place = InPlace::read(self.bundle)?;
        // Once there are weights, the export itself finds out whether they are those of the bundle in place.
        let own = run.is_trained() || origin.owns_bundle(self.bundle)? == Some(true);
        let export = &config.export;
        let version = expected(in_place.as_ref(), own, &export.name, &export.version, bump)?;
        if !self.registers {
            return Ok(());
        }
        let conflicts = name_conflicts(
            &config.tracking,
            &run.file(""),
            &RequestedVersion { bundle: &export.name, version: &version },
        )?;
        if conflicts.is_empty() { Ok(()) } else { bail!("{}", conflicts.join("; ")) }
    }
}
