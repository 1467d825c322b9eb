//! The images of the traffic, and the shifts that a person can ask for.

use super::page::State;
use crate::monitoring::{Shift as Corruption, Source, shifted};
use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shift {
    /// Images as they are.
    None,
    /// A black frame of 8 pixels.
    Border,
    /// Contrast times 0.8 about the mean.
    Contrast,
    /// Gamma 1.2.
    Gamma,
    /// Letters in a corner.
    Letters,
    /// JPEG of quality 30.
    Jpeg,
    /// Images of adults from another hospital; they are not among the phantoms.
    Adults,
}

impl Shift {
    pub(super) const ALL: [Self; 7] =
        [Self::None, Self::Border, Self::Contrast, Self::Gamma, Self::Letters, Self::Jpeg, Self::Adults];

    const fn corruption(self) -> Corruption {
        match self {
            Self::None => Corruption::None,
            Self::Border => Corruption::Border,
            Self::Contrast => Corruption::Contrast,
            Self::Gamma => Corruption::Gamma,
            Self::Letters => Corruption::Letters,
            Self::Jpeg => Corruption::Jpeg,
            Self::Adults => Corruption::Adults,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        self.corruption().file()
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shift| shift.name() == name)
    }
}

/// The images of the traffic, as files.
pub(super) struct Corpus {
    usual: Vec<Vec<u8>>,
    adults: Vec<Vec<u8>>,
}

const PER_CLASS: usize = 700;
const SEED: u64 = 15;

impl Corpus {
    /// Real radiographs where `CXR_DATA_DIR` (default `../shared/data`) has them, else phantoms.
    pub(super) fn load(state: &State) -> Result<Self> {
        let data =
            std::env::var_os("CXR_DATA_DIR").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
        let is_there = data.join("kermany224/train").is_dir();
        if !is_there {
            state.set_phase("no data set: the traffic consists of phantoms".to_owned());
        }
        let source = Source::open(is_there.then_some(data.as_path()), "train", PER_CLASS)?;
        let files = |shift| -> Result<Vec<Vec<u8>>> {
            let mut files: Vec<Vec<u8>> =
                source.images(shift)?.into_iter().map(|image| image.bytes).collect();
            // In the order of the folder, the images of one day would differ from those of the next.
            files.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
            Ok(files)
        };
        let (usual, adults) = (files(Corruption::None)?, files(Corruption::Adults)?);
        ensure!(!usual.is_empty(), "there are no images to send");
        Ok(Self { usual, adults })
    }

    /// The file to send as the `n`-th request.
    pub(super) fn file(&self, n: usize, shift: Shift) -> Result<Vec<u8>> {
        match shift {
            Shift::None => Ok(self.usual[n % self.usual.len()].clone()),
            Shift::Adults if !self.adults.is_empty() => Ok(self.adults[n % self.adults.len()].clone()),
            shift => shifted(&self.usual[n % self.usual.len()], shift.corruption(), n),
        }
    }
}
