//! The images of a benchmark bundle: phantoms, preprocessed as in the service.

use crate::config::Config;
use crate::data::recipe::Recipe;
use crate::measure::calibrate::{distribution, embedding_reference, probabilities};
use crate::measure::robustness::model::batch;
use crate::measure::sample::CALIBRATION_BINS;
use crate::model::Network;
use crate::train::score::Scores;
use anyhow::{Context, Result};
use cxr::analysis::population::{Population, by_name};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::decide::{OperatingPoint, ReviewBand};
use cxr::phantom::{PhantomSpec, encode_png, generate};
use cxr::reference::{Quantiles, Reference};
use cxr::statistics::ImageStatistics;
use cxr::{AffineCalibration, DecisionPolicy};
use runtime::Session;
use std::collections::BTreeMap;
use tch::Device;

pub(super) const N: usize = 32;
const COMPONENTS: usize = 4;
/// Forward passes that set the statistics of batch normalisation, each of which replaces a tenth of them.
const N_PASSES: usize = 24;
const IMAGES_PER_PASS: usize = 8;
/// Name of the phantoms where a bundle names a fold.
const FOLD: &str = "phantoms";

pub(super) struct Phantoms {
    inputs: Vec<Vec<u8>>,
    statistics: Vec<ImageStatistics>,
    pub(super) positive: Vec<bool>,
    pub(super) size: (u32, u32),
}

impl Phantoms {
    pub(super) fn generate(config: &Config) -> Result<Self> {
        let recipe = Recipe { acceptance: config.acceptance, preprocess: config.served_preprocess() };
        let size = (config.preprocess.width, config.preprocess.height);
        let positive: Vec<bool> = (0..N).map(|seed| seed % 2 == 1).collect();
        let (mut inputs, mut statistics) = (Vec::new(), Vec::new());
        for (seed, opacity) in (0..).zip(&positive) {
            let pixels = generate(&PhantomSpec { seed, width: size.0, height: size.1, opacity: *opacity });
            let input = recipe.prepare(&encode_png(&pixels, size.0, size.1))?;
            inputs.push(input.pixels().to_vec());
            statistics.push(*input.statistics());
        }
        Ok(Self { inputs, statistics, positive, size })
    }

    pub(super) fn images(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.inputs.iter().map(Vec::as_slice)
    }

    /// Estimates an untrained network's batch normalisation statistics from the phantoms.
    pub(super) fn set_batch_normalisation(&self, network: &Network) {
        tch::no_grad(|| {
            for images in self.inputs.chunks(IMAGES_PER_PASS).cycle().take(N_PASSES) {
                let _ = network.logits(&batch(images, self.size, Device::Cpu), true);
            }
        });
    }

    pub(super) fn score(&self, session: &mut Session) -> Result<Scores> {
        let mut scores = Scores::default();
        for image in &self.inputs {
            let outputs = session.run(image, 1)?;
            scores.logits.push(f64::from(outputs.logits[0]));
            scores.embeddings.push(outputs.embedding);
        }
        Ok(scores)
    }

    /// Thresholds at which half of the phantoms are positive and none are out of distribution.
    pub(super) fn policy(
        &self,
        config: &Config,
        calibration: AffineCalibration,
        scores: &Scores,
    ) -> Result<DecisionPolicy> {
        let fitted = probabilities(calibration, &scores.logits);
        let threshold = Quantiles::of(&fitted).context("no phantoms")?.0[50];
        let confusion = ConfusionMatrix::at(&fitted, &self.positive, threshold);
        let reference = embedding_reference(&scores.embeddings, COMPONENTS, config.calibration.ood_score)?;
        let known = distribution::scores_of(&reference, &scores.embeddings)?;
        Ok(DecisionPolicy {
            threshold,
            chosen: OperatingPoint {
                target_sensitivity: 0.5,
                fold: FOLD.to_owned(),
                sensitivity: confusion.sensitivity().context("no positives")?,
                specificity: confusion.specificity().context("no negatives")?,
                n: self.positive.len(),
            },
            review_band: ReviewBand { low: threshold, high: threshold },
            ood_threshold: distribution::threshold(&known, 100),
        })
    }

    /// `scores` are those of every variant by name.
    pub(super) fn reference(
        &self,
        config: &Config,
        scores: &BTreeMap<String, Scores>,
        default_variant: &str,
    ) -> Result<Reference> {
        let calibration = AffineCalibration { scale: 1.0, bias: 0.0 };
        let embeddings =
            &scores.get(default_variant).context("the default variant has no scores")?.embeddings;
        let embedding = embedding_reference(embeddings, COMPONENTS, config.calibration.ood_score)?;
        let positions = embeddings.iter().map(|values| Ok(embedding.locate(values)?));
        let population = Population {
            fold: FOLD,
            positive: &self.positive,
            patients: &(0..N).collect::<Vec<_>>(),
            probabilities: scores
                .iter()
                .map(|(name, scores)| (name.clone(), probabilities(calibration, &scores.logits)))
                .collect(),
            default_variant,
            positions: &positions.collect::<Result<Vec<_>>>()?,
            statistics: by_name(&self.statistics),
            not_measured: BTreeMap::new(),
        };
        population.reference(embedding, CALIBRATION_BINS).context("no phantoms")
    }
}
