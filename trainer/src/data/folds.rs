//! The division into folds. All images of a patient are in one fold, and classes keep their shares. The
//! division is frozen to a file, and later commands check that they would divide the data in the same way.

use super::entry::{Entry, OfficialSplit};
use super::groups::{Group, fewest, groups, strata};
use super::index::Index;
use super::readable;
use super::screening::duplicates::check_copies;
use crate::config::Config;
use crate::files;
use crate::progress::say;
use crate::run::RunDirectory;
use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    Train,
    /// Chooses the epoch.
    Select,
    /// Fits the calibration and the operating point.
    Calibrate,
    /// The published test split, or drawn from all images.
    Test,
}

impl Fold {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Select => "select",
            Self::Calibrate => "calibrate",
            Self::Test => "test",
        }
    }
}

/// Shares of the images in the folds other than train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// None if the published test split is the test fold.
    pub test: Option<f64>,
    pub select: f64,
    pub calibrate: f64,
}

impl Shares {
    pub fn of(index: &Index, data: &crate::config::Data) -> Result<Self> {
        let is_drawn = data.pool_test || !index.has_test_split();
        ensure!(
            !is_drawn || data.test_fraction > 0.0,
            "trainer.data.test_fraction: must be positive, because the test fold is drawn from all images"
        );
        Ok(Self {
            test: is_drawn.then_some(data.test_fraction),
            select: data.select_fraction,
            calibrate: data.calibrate_fraction,
        })
    }
}

/// Content of `folds.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folds {
    /// [`Index::digest`] of the data.
    pub dataset_sha256: String,
    pub seed: u64,
    /// Sorted paths by fold.
    pub folds: BTreeMap<Fold, Vec<String>>,
    /// Reason by path of images that cannot be used; they are in no fold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<String, String>,
}

impl Folds {
    /// Divides the usable images. Without a share for the test fold, it is the published test split.
    pub fn divide(
        index: &Index,
        shares: &Shares,
        seed: u64,
        unreadable: BTreeMap<String, String>,
    ) -> Result<Self> {
        check_copies(index, shares.test.is_none())?;
        let mut folds: BTreeMap<Fold, Vec<String>> = BTreeMap::new();
        let usable = index.entries.iter().filter(|entry| !unreadable.contains_key(&entry.path));
        let (test, pooled): (Vec<&Entry>, Vec<&Entry>) =
            usable.partition(|entry| shares.test.is_none() && entry.split == OfficialSplit::Test);
        folds.insert(Fold::Test, test.iter().map(|entry| entry.path.clone()).collect());
        let test_share = shares.test.map(|share| (Fold::Test, share));
        let others = [(Fold::Select, shares.select), (Fold::Calibrate, shares.calibrate)];
        let held_out: Vec<(Fold, f64)> = test_share.into_iter().chain(others).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut classes: BTreeMap<(bool, String), Vec<Group>> = BTreeMap::new();
        for group in groups(&pooled) {
            classes.entry((group.positive, group.class.clone())).or_default().push(group);
        }
        let fewest = fewest(held_out.iter().map(|(_, share)| *share));
        for (_, groups) in classes {
            let mut totals = Totals::default();
            for mut stratum in strata(groups, fewest) {
                stratum.shuffle(&mut rng);
                totals.assign(stratum, &held_out, &mut folds);
            }
        }
        for paths in folds.values_mut() {
            paths.sort();
        }
        let division = Self { dataset_sha256: index.digest(), seed, folds, unreadable };
        division.check_classes(index, shares.test.is_some())?;
        Ok(division)
    }

    /// Every drawn fold needs both classes.
    fn check_classes(&self, index: &Index, test_is_drawn: bool) -> Result<()> {
        let drawn = [Fold::Train, Fold::Select, Fold::Calibrate].into_iter();
        for fold in drawn.chain(test_is_drawn.then_some(Fold::Test)) {
            let labels: BTreeSet<bool> =
                self.entries(index, fold)?.iter().map(|entry| entry.positive).collect();
            ensure!(labels.len() == 2, "the {} fold lacks a class: too few patients", fold.name());
        }
        Ok(())
    }

    /// Finds the unreadable images and divides the others.
    pub fn of(index: &Index, config: &Config) -> Result<Self> {
        let unreadable = readable::unreadable(index, config)?;
        Self::divide(index, &Shares::of(index, &config.data)?, config.seed, unreadable)
    }

    /// The division in `file`, which must follow from data and configuration, or else a new one.
    pub fn frozen(file: &Path, index: &Index, config: &Config) -> Result<Self> {
        let Some(frozen) = Self::load(file)? else {
            let fresh = Self::of(index, config)?;
            files::write_json(file, &fresh)?;
            fresh.say_unreadable();
            return Ok(fresh);
        };
        let digest = index.digest();
        ensure!(
            frozen.dataset_sha256 == digest,
            "{}: was made for other data (digest {}; the data in {} has {digest}): use that data or start another run",
            file.display(),
            frozen.dataset_sha256,
            index.root.display(),
        );
        let shares = Shares::of(index, &config.data)?;
        let fresh = Self::divide(index, &shares, config.seed, frozen.unreadable.clone())?;
        ensure!(
            frozen == fresh,
            "{}: does not follow from this configuration; start another run",
            file.display()
        );
        frozen.say_unreadable();
        Ok(frozen)
    }

    pub fn load(file: &Path) -> Result<Option<Self>> {
        files::read_json(file)
    }

    /// Removes the folds of a run without weights if they belong to other data.
    pub fn forget_stale(run: &RunDirectory, index: &Index) -> Result<()> {
        let file = run.folds();
        let Some(folds) = Self::load(&file)? else { return Ok(()) };
        let (file, root, digest) = (file.display(), index.root.display(), index.digest());
        if folds.dataset_sha256 == digest {
            return Ok(());
        }
        ensure!(
            !run.is_trained(),
            "{file}: the weights in this run were trained on other data (digest {}; the data in {root} has {digest}). Give that data with --data, or choose another --run for this data",
            folds.dataset_sha256,
        );
        run.ensure_idle()?;
        say(format!("{file}: the data has changed and nothing was trained yet, so it is divided again"));
        run.remove_folds()
    }

    fn say_unreadable(&self) {
        if !self.unreadable.is_empty() {
            let n = self.unreadable.len();
            say(format!("{n} images cannot be used and are in no fold; folds.json lists them"));
        }
    }

    /// SHA-256 of the compact JSON.
    pub fn digest(&self) -> Result<String> {
        Ok(cxr::bundle::sha256_hex(&serde_json::to_vec(self)?))
    }

    pub fn by_path(&self) -> BTreeMap<&str, Fold> {
        self.folds.iter().flat_map(|(fold, paths)| paths.iter().map(|path| (path.as_str(), *fold))).collect()
    }

    /// The entries of a fold, sorted by path.
    pub fn entries(&self, index: &Index, fold: Fold) -> Result<Vec<Entry>> {
        let entry = |path: &String| {
            let found = index.entries.binary_search_by(|entry| entry.path.cmp(path)).ok();
            found.map(|i| index.entries[i].clone()).with_context(|| format!("{path}: not in the data set"))
        };
        self.folds.get(&fold).into_iter().flatten().map(entry).collect()
    }
}

/// Running totals of one class over its strata, so that rounding errors do not add up.
#[derive(Debug, Default)]
struct Totals {
    n_images: usize,
    taken: BTreeMap<Fold, usize>,
}

impl Totals {
    /// Fills each held-out fold up to its quota; the remaining groups train.
    fn assign(
        &mut self,
        stratum: Vec<Group>,
        held_out: &[(Fold, f64)],
        folds: &mut BTreeMap<Fold, Vec<String>>,
    ) {
        self.n_images += stratum.iter().map(|group| group.paths.len()).sum::<usize>();
        let mut groups = stratum.into_iter().map(|group| group.paths);
        for (fold, share) in held_out {
            let quota = (self.n_images as f64 * share).round() as usize;
            let (taken, paths) = (self.taken.entry(*fold).or_default(), folds.entry(*fold).or_default());
            while *taken < quota {
                let Some(group) = groups.next() else { break };
                *taken += group.len();
                paths.extend(group);
            }
        }
        folds.entry(Fold::Train).or_default().extend(groups.flatten());
    }
}
