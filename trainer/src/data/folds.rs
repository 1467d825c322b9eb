//! The folds: which image trains, which selects the epoch, which calibrates. Patients never cross a fold, classes keep
//! their shares, and the division is frozen to a file that later steps must agree with.

use super::copies;
use super::entry::{Entry, OfficialSplit};
use super::groups::{Group, groups};
use super::index::Index;
use super::readable;
use super::strata::{fewest, strata};
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

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// Trains.
    Train,
    /// Chooses the epoch.
    Select,
    /// Fits calibration and operating point.
    Calibrate,
    /// The published test split.
    Test,
}

impl Fold {
    /// The name used in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Select => "select",
            Self::Calibrate => "calibrate",
            Self::Test => "test",
        }
    }
}

/// Which shares are held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Of the test fold; none where the published test split is it.
    pub test: Option<f64>,
    /// Of the select fold.
    pub select: f64,
    /// Of the calibrate fold.
    pub calibrate: f64,
}

impl Shares {
    /// What the configuration wants of this data.
    pub fn of(index: &Index, data: &crate::config::Data) -> Result<Self> {
        let is_drawn = data.pool_test || !index.has_test_split();
        ensure!(
            !is_drawn || data.test_fraction > 0.0,
            "trainer.data.test_fraction: must be positive, the test fold is to be drawn from all images"
        );
        Ok(Self {
            test: is_drawn.then_some(data.test_fraction),
            select: data.select_fraction,
            calibrate: data.calibrate_fraction,
        })
    }
}

/// The division of one dataset, as `folds.json` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folds {
    /// [`Index::digest`] of the data that was divided.
    pub dataset_sha256: String,
    /// Seed of the division.
    pub seed: u64,
    /// Paths by fold, sorted.
    pub folds: BTreeMap<Fold, Vec<String>>,
    /// Images that cannot be used and are in no fold, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<String, String>,
}

impl Folds {
    /// Divides the images but the `unreadable` ones by patient and class. With a share for the test fold everything is
    /// pooled; without one the published test split is the test fold and the rest is divided.
    pub fn divide(
        index: &Index,
        shares: &Shares,
        seed: u64,
        unreadable: BTreeMap<String, String>,
    ) -> Result<Self> {
        copies::check(index, shares.test.is_none())?;
        let mut folds: BTreeMap<Fold, Vec<String>> = BTreeMap::new();
        let (test, pooled): (Vec<&Entry>, Vec<&Entry>) = index
            .entries
            .iter()
            .filter(|entry| !unreadable.contains_key(&entry.path))
            .partition(|entry| shares.test.is_none() && entry.split == OfficialSplit::Test);
        folds.insert(Fold::Test, test.iter().map(|entry| entry.path.clone()).collect());
        let mut wanted: Vec<(Fold, f64)> = shares.test.map(|share| (Fold::Test, share)).into_iter().collect();
        wanted.extend([(Fold::Select, shares.select), (Fold::Calibrate, shares.calibrate)]);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut classes: BTreeMap<(bool, String), Vec<Group>> = BTreeMap::new();
        for group in groups(&pooled) {
            classes.entry((group.positive, group.class.clone())).or_default().push(group);
        }
        let fewest = fewest(wanted.iter().map(|(_, share)| *share));
        for (_, groups) in classes {
            let mut dealt = Dealt::default();
            for mut stratum in strata(groups, fewest) {
                stratum.shuffle(&mut rng);
                dealt.deal(stratum, &wanted, &mut folds);
            }
        }
        for paths in folds.values_mut() {
            paths.sort();
        }
        let division = Self { dataset_sha256: index.digest(), seed, folds, unreadable };
        division.check_classes(index, shares.test.is_some())?;
        Ok(division)
    }

    /// The published test split is what it is; every fold that is drawn needs both classes.
    fn check_classes(&self, index: &Index, test_is_drawn: bool) -> Result<()> {
        let drawn = [Fold::Train, Fold::Select, Fold::Calibrate].into_iter();
        for fold in drawn.chain(test_is_drawn.then_some(Fold::Test)) {
            let classes: BTreeSet<bool> =
                self.entries(index, fold)?.iter().map(|entry| entry.positive).collect();
            ensure!(
                classes.len() == 2,
                "the {} fold would not hold both classes: too few patients",
                fold.name()
            );
        }
        Ok(())
    }

    /// The division that follows from data and configuration; images that cannot be used are found first.
    pub fn of(index: &Index, config: &Config) -> Result<Self> {
        let unreadable = readable::unreadable(index, config)?;
        Self::divide(index, &Shares::of(index, &config.data)?, config.seed, unreadable)
    }

    /// The division frozen in `file`, or a new one, frozen there.
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
            "{}: was frozen for other data (digest {}, the data in {} has {digest}): use that data or start another run",
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

    /// What is frozen in `file`; none where there is no file.
    pub fn load(file: &Path) -> Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let text = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let frozen =
            serde_json::from_slice(&text).with_context(|| format!("{}: not a folds file", file.display()))?;
        Ok(Some(frozen))
    }

    /// Forgets a run's folds if they belong to other data and nothing was trained on them yet.
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
        run.forget_folds()
    }

    fn say_unreadable(&self) {
        if !self.unreadable.is_empty() {
            let n = self.unreadable.len();
            say(format!("{n} images cannot be used and are in no fold; folds.json lists them"));
        }
    }

    /// SHA-256 of the division.
    pub fn digest(&self) -> Result<String> {
        Ok(cxr::bundle::sha256_hex(&serde_json::to_vec(self)?))
    }

    /// The entries of a fold, in the order of their paths.
    pub fn entries(&self, index: &Index, fold: Fold) -> Result<Vec<Entry>> {
        let paths = self.folds.get(&fold).map_or(&[][..], Vec::as_slice);
        let entry = |path: &String| {
            let found = index.entries.binary_search_by(|entry| entry.path.cmp(path));
            found
                .map(|i| index.entries[i].clone())
                .ok()
                .with_context(|| format!("{path}: not in the dataset"))
        };
        paths.iter().map(entry).collect()
    }
}

/// What was dealt to the folds of one class so far: what rounding takes from a stratum, the next one gives back.
#[derive(Debug, Default)]
struct Dealt {
    n_images: usize,
    taken: BTreeMap<Fold, usize>,
}

impl Dealt {
    /// Deals the groups of a stratum in their order; what is left trains.
    fn deal(&mut self, stratum: Vec<Group>, wanted: &[(Fold, f64)], folds: &mut BTreeMap<Fold, Vec<String>>) {
        self.n_images += stratum.iter().map(|group| group.paths.len()).sum::<usize>();
        let mut groups = stratum.into_iter().map(|group| group.paths);
        for (fold, share) in wanted {
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
