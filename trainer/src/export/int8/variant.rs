//! Makes the int8 variant of a model, and compares it with fp32 on the select fold.

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::measure::calibrate::{ScoreSource, distribution, fit, policy, probabilities};
use crate::measure::on_select;
use crate::measure::sample::{Sample, patients};
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
use serde::Serialize;

/// Name and precision of the variant.
pub const VARIANT_INT8: &str = "int8";
pub const GRAPH_INT8: &str = "model-int8.onnx";

/// The fp32 model, and the data that it was trained on.
#[derive(Debug, Clone, Copy)]
pub struct Fp32Model<'a> {
    pub runtime: &'a Runtime,
    pub config: &'a Config,
    pub contract: &'a ModelContract,
    pub graph: &'a [u8],
    /// Calibration and threshold of fp32.
    pub fp32: (AffineCalibration, f64),
    pub embedding: &'a EmbeddingReference,
    pub index: &'a Index,
    pub folds: &'a Folds,
    pub recipe: Recipe,
}

#[derive(Debug)]
pub enum Int8 {
    Variant(Box<Quantised>),
    /// With the reason.
    LeftOut(String),
}

#[derive(Debug)]
pub struct Quantised {
    pub graph: Vec<u8>,
    pub session: Session,
    /// Without golden outputs.
    pub variant: Variant,
    pub comparison: Comparison,
    pub on_calibrate: OnCalibrate,
}

/// Calibrated probabilities and labels of the calibrate fold.
#[derive(Debug)]
pub struct OnCalibrate {
    pub probabilities: Vec<f64>,
    pub positive: Vec<bool>,
}

/// int8 against fp32 on the select fold, each with its own calibration and operating point.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Images of the train fold from which the ranges were taken.
    pub n_ranges: usize,
    pub weight_bits: u32,
    pub n: usize,
    /// Images with different decisions.
    pub n_flipped: usize,
    /// Mean absolute difference of the calibrated probabilities.
    pub mean_difference: f64,
    /// Of int8.
    pub figures: FoldEvaluation,
}

impl Fp32Model<'_> {
    /// Quantises, calibrates, chooses the operating point and compares. Leaves the variant out if its scores
    /// allow no calibration, or if it changes more decisions than the configuration allows.
    pub fn quantise(&self) -> Result<Int8> {
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
            Err(error) => return Ok(Int8::LeftOut(format!("{error:#}"))),
        };
        let policy = self.policy(calibration, &pixels, &scores)?;
        let on_calibrate = OnCalibrate {
            probabilities: probabilities(calibration, &scores.logits),
            positive: pixels.positive(),
        };
        let select = self.pixels(Fold::Select)?;
        let int8 = score_graph(&mut session, &select, "int8 on select")?;
        let fp32 = score_graph(&mut self.session(self.graph, "fp32")?, &select, "fp32 on select")?;
        let (fp32, int8) =
            (probabilities(self.fp32.0, &fp32.logits), probabilities(calibration, &int8.logits));
        let thresholds = (self.fp32.1, policy.threshold);
        let flips = fp32.iter().zip(&int8).filter(|(a, b)| (**a >= thresholds.0) != (**b >= thresholds.1));
        let differences = fp32.iter().zip(&int8).map(|(a, b)| (a - b).abs());
        let comparison = Comparison {
            n_ranges,
            weight_bits: export.int8_weight_bits,
            n: select.len(),
            n_flipped: flips.count(),
            mean_difference: differences.sum::<f64>() / select.len() as f64,
            figures: self.with_sample(&int8, &select, |sample| sample.fold_evaluation(policy.threshold))?,
        };
        comparison.print();
        if let Some(why) = too_different(comparison.n_flipped, comparison.n, export.int8_max_flips) {
            return Ok(Int8::LeftOut(why));
        }
        let found = on_select::measure(&mut session, &select, calibration, &policy, self.embedding)?;
        let variant = Variant {
            file: GRAPH_INT8.to_owned(),
            precision: VARIANT_INT8.to_owned(),
            fixed_batch,
            calibration,
            policy,
            heatmap: found.maps.scale.ok(),
            golden: Vec::new(),
        };
        Ok(Int8::Variant(Box::new(Quantised { graph, session, variant, comparison, on_calibrate })))
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
        self.with_sample(&fitted, pixels, |sample| {
            let rule = (Rule::Exact, self.config.seed);
            policy::policy(config, policy::FOLD.name(), sample, rule, ood_threshold)
        })
    }

    fn with_sample<T>(
        &self,
        probabilities: &[f64],
        pixels: &Pixels,
        run: impl FnOnce(&Sample<'_>) -> T,
    ) -> T {
        run(&Sample {
            probabilities,
            positive: &pixels.positive(),
            patients: &patients(pixels),
            resamples: self.config.evaluation.resamples,
            seed: self.config.seed,
        })
    }
}

impl Comparison {
    fn print(&self) {
        let Self { n, n_flipped, mean_difference, figures, .. } = self;
        say(format!(
            "int8 against fp32 on select: {n_flipped} of {n} decisions differ, probabilities by {mean_difference:.4} on average, AUC {:.4}",
            figures.auc.value
        ));
    }
}

/// The reason, if more than a share `limit` of the `n` decisions differs.
fn too_different(n_flipped: usize, n: usize, limit: f64) -> Option<String> {
    // The product of a decimal share can be a last bit below a whole number.
    let allowed = (limit * n as f64 + 1e-9) as usize;
    let share = |k: usize| format!("{:.1} %", 100.0 * k as f64 / n as f64);
    let bound = match allowed {
        0 => format!("none, because one of {n} images is {}", share(1)),
        _ => format!("at most {allowed}"),
    };
    (n_flipped > allowed).then(|| {
        format!(
            "int8 decides differently from fp32 for {n_flipped} of {n} select images ({}); trainer.export.int8_max_flips: {limit} allows {bound}",
            share(n_flipped)
        )
    })
}

/// `n` positions spread evenly over `len`, so that classes and groups keep their shares.
fn spread(len: usize, n: usize) -> Vec<usize> {
    let n = n.min(len);
    (0..n).map(|i| i * len / n).collect()
}

#[cfg(test)]
mod tests {
    use super::{spread, too_different};

    #[test]
    fn positions_are_spread_without_repetition() {
        assert_eq!(spread(10, 3), [0, 3, 6]);
        assert_eq!(spread(3, 10), [0, 1, 2]);
    }

    #[test]
    fn the_limit_is_in_whole_images() {
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
