//! The int8 variant of a model: its graph, calibration and policy, and how it compares with fp32 on the
//! select fold.

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::measure::calibrate::{ScoreSource, distribution, fit, policy, probabilities};
use crate::measure::sample::{Sample, patients};
use crate::measure::select::measure;
use crate::onnx::quantise::batches::try_batches;
use crate::onnx::quantise::quantise;
use crate::progress::say;
use crate::train::score::{Scores, score_graph};
use anyhow::Result;
use cxr::AffineCalibration;
use cxr::bundle::{FoldEvaluation, ModelContract, Variant};
use cxr::embedding::EmbeddingReference;
use policy::Rule;
use runtime::{Runtime, Session, SessionOptions};

/// The variant's name, and its precision.
pub const VARIANT_INT8: &str = "int8";
/// The graph's file.
pub const GRAPH_INT8: &str = "model-int8.onnx";

/// A model in fp32 with the data that it was made with.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// ONNX Runtime.
    pub runtime: &'a Runtime,
    /// How ranges, calibration and policy are found.
    pub config: &'a Config,
    /// Its tensors.
    pub contract: &'a ModelContract,
    /// The fp32 graph.
    pub graph: &'a [u8],
    /// The fp32 calibration and policy.
    pub variant: (AffineCalibration, f64),
    /// Where embeddings of the train fold lie.
    pub embedding: &'a EmbeddingReference,
    /// The data.
    pub index: &'a Index,
    /// Its division.
    pub folds: &'a Folds,
    /// How images become model inputs.
    pub recipe: Recipe,
}

/// What became of it.
#[derive(Debug)]
pub enum Made {
    /// A variant near enough to fp32.
    Variant(Box<Quantised>),
    /// None, and why.
    LeftOut(String),
}

/// The variant.
#[derive(Debug)]
pub struct Quantised {
    /// The int8 graph.
    pub graph: Vec<u8>,
    /// A session of it.
    pub session: Session,
    /// The variant, but for its golden outputs.
    pub variant: Variant,
    /// How it compares.
    pub comparison: Comparison,
}

/// int8 against fp32 on the select fold, each with its own calibration and operating point.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Images of the train fold that gave the ranges.
    pub n_ranges: usize,
    /// Bits of a weight.
    pub weight_bits: u32,
    /// Images compared.
    pub n: usize,
    /// Verdicts that differ.
    pub n_flipped: usize,
    /// Mean absolute difference of the calibrated probability.
    pub mean_difference: f64,
    /// Figures of int8.
    pub figures: FoldEvaluation,
}

impl Source<'_> {
    /// Quantises, calibrates, chooses the operating point, and compares.
    ///
    /// # Errors
    /// When an image cannot be used or ONNX Runtime fails. A variant whose scores allow no calibration, or which flips more verdicts than
    /// the configuration allows, is left out.
    pub fn quantised(&self) -> Result<Made> {
        let (config, export) = (self.config, &self.config.export);
        let train = self.pixels(Fold::Train)?;
        let positions = spread(train.len(), export.int8_images);
        let images: Vec<&[u8]> = positions.iter().map(|position| train.image(*position)).collect();
        let graph =
            quantise(self.runtime, self.graph, images.iter().copied(), train.size, export.int8_weight_bits)?;
        let mut session = self.session(&graph, VARIANT_INT8)?;
        let fixed_batch = try_batches(&mut session, &images, config.seed)?;
        let n_ranges = images.len();
        drop(train);
        let pixels = self.pixels(policy::FOLD)?;
        let scores = score_graph(&mut session, &pixels, "int8 on calibrate")?;
        let calibration = match fit(ScoreSource::Int8, &scores.logits, &pixels.positive()) {
            Ok(calibration) => calibration,
            Err(error) => return Ok(Made::LeftOut(format!("{error:#}"))),
        };
        let policy = self.policy(calibration, &pixels, &scores)?;
        let select = self.pixels(Fold::Select)?;
        let int8 = score_graph(&mut session, &select, "int8 on select")?;
        let fp32 = score_graph(&mut self.session(self.graph, "fp32")?, &select, "fp32 on select")?;
        let (fp32, int8) =
            (probabilities(self.variant.0, &fp32.logits), probabilities(calibration, &int8.logits));
        let thresholds = (self.variant.1, policy.threshold);
        let flips = fp32.iter().zip(&int8).filter(|(a, b)| (**a >= thresholds.0) != (**b >= thresholds.1));
        let differences = fp32.iter().zip(&int8).map(|(a, b)| (a - b).abs());
        let comparison = Comparison {
            n_ranges,
            weight_bits: export.int8_weight_bits,
            n: select.len(),
            n_flipped: flips.count(),
            mean_difference: differences.sum::<f64>() / select.len() as f64,
            figures: self.sample(&int8, &select).measure(policy.threshold)?,
        };
        comparison.report();
        if let Some(why) = comparison.too_different(export.int8_max_flips) {
            return Ok(Made::LeftOut(why));
        }
        let on_select = measure(&mut session, &select, calibration, &policy, self.embedding)?;
        let variant = Variant {
            file: GRAPH_INT8.to_owned(),
            precision: VARIANT_INT8.to_owned(),
            fixed_batch,
            calibration,
            policy,
            heatmap: on_select.maps.scale.ok(),
            golden: Vec::new(),
        };
        Ok(Made::Variant(Box::new(Quantised { graph, session, variant, comparison })))
    }

    fn pixels(&self, fold: Fold) -> Result<Pixels> {
        Pixels::of_fold(self.config, self.index, self.folds, fold, &self.recipe)
    }

    fn session(&self, graph: &[u8], precision: &str) -> Result<Session> {
        let options = SessionOptions { precision: precision.to_owned(), ..SessionOptions::default() };
        Ok(self.runtime.session(graph, self.contract, &options)?)
    }

    fn policy(
        &self,
        calibration: AffineCalibration,
        pixels: &Pixels,
        scores: &Scores,
    ) -> Result<cxr::DecisionPolicy> {
        let config = &self.config.calibration;
        let known = distribution::scores_of(self.embedding, &scores.embeddings)?;
        let ood_threshold = distribution::threshold(&known, config.ood_percentile);
        let fitted = probabilities(calibration, &scores.logits);
        let sample = self.sample(&fitted, pixels);
        policy::policy(
            config,
            policy::FOLD.name(),
            &sample.as_sample(),
            (Rule::Exact, self.config.seed),
            ood_threshold,
        )
    }

    fn sample(&self, probabilities: &[f64], pixels: &Pixels) -> Judged {
        Judged {
            probabilities: probabilities.to_vec(),
            positive: pixels.positive(),
            patients: patients(pixels),
            resamples: self.config.evaluation.resamples,
            seed: self.config.seed,
        }
    }
}

/// Probabilities of a fold with what they are judged by.
struct Judged {
    probabilities: Vec<f64>,
    positive: Vec<bool>,
    patients: Vec<usize>,
    resamples: usize,
    seed: u64,
}

impl Judged {
    fn as_sample(&self) -> Sample<'_> {
        Sample {
            probabilities: &self.probabilities,
            positive: &self.positive,
            patients: &self.patients,
            resamples: self.resamples,
            seed: self.seed,
        }
    }

    fn measure(&self, threshold: f64) -> Result<FoldEvaluation> {
        self.as_sample().fold_evaluation(threshold)
    }
}

impl Comparison {
    fn report(&self) {
        let Self { n, n_flipped, mean_difference, figures, .. } = self;
        say(format!(
            "int8 against fp32 on select: {n_flipped} of {n} verdicts differ, probabilities by {mean_difference:.4} on average, AUC {:.4}",
            figures.auc.value
        ));
    }

    /// Why more verdicts differ than a share of `limit` allows; none where they do not.
    fn too_different(&self, limit: f64) -> Option<String> {
        let Self { n, n_flipped, .. } = self;
        // A share such as 0.07 of 100 is 7 images, whatever the last bit of the product.
        let allowed = (limit * *n as f64 + 1e-9) as usize;
        let share = |k: usize| format!("{:.1} %", 100.0 * k as f64 / *n as f64);
        let bound = match allowed {
            0 => format!("none, because one of {n} images is already {}", share(1)),
            _ => format!("at most {allowed}"),
        };
        (*n_flipped > allowed).then(|| {
            format!(
                "int8 gives another verdict than fp32 for {n_flipped} of {n} select images ({}); trainer.export.int8_max_flips: {limit} allows {bound}",
                share(*n_flipped)
            )
        })
    }
}

/// `n` positions spread evenly over `len`: every patient group and both classes are met as often as they are there.
fn spread(len: usize, n: usize) -> Vec<usize> {
    let n = n.min(len);
    (0..n).map(|i| i * len / n).collect()
}

#[cfg(test)]
mod tests {
    use super::{Comparison, spread};
    use cxr::bundle::{FoldEvaluation, Measured};

    #[test]
    fn images_are_spread_and_none_is_taken_twice() {
        assert_eq!(spread(10, 3), [0, 3, 6]);
        assert_eq!(spread(3, 10), [0, 1, 2]);
    }

    #[test]
    fn flips_are_counted_against_whole_images() {
        let figure = Measured { value: 0.9, ci95: [0.8, 1.0], n: 1 };
        let figures = FoldEvaluation {
            auc: figure,
            sensitivity: figure,
            specificity: figure,
            precision: figure,
            f1: figure,
            accuracy: figure,
            ece: figure,
            brier: figure,
        };
        let too_different = |n_flipped: usize, n: usize, limit: f64| {
            let figures = figures.clone();
            let found =
                Comparison { n_ranges: 1, weight_bits: 7, n, n_flipped, mean_difference: 0.0, figures };
            found.too_different(limit)
        };
        let why = too_different(1, 36, 0.01).unwrap();
        assert!(why.contains("1 of 36") && why.contains("allows none") && why.contains("2.8 %"), "{why}");
        let why = too_different(6, 524, 0.01).unwrap();
        assert!(why.contains("at most 5"), "{why}");
        for (n_flipped, n, limit) in
            [(0, 36, 0.01), (1, 100, 0.01), (7, 100, 0.07), (5, 524, 0.01), (36, 36, 1.0)]
        {
            assert_eq!(too_different(n_flipped, n, limit), None);
        }
    }
}
