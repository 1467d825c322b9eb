//! Calibration, the decision policy and the reference for monitoring. All are fitted on the calibrate fold,
//! except for the distribution of embeddings (train fold), and evaluated on other patients.

pub mod comparison;
pub mod distribution;
mod embedding;
mod fit;
mod reference;
pub(crate) use embedding::embedding_reference;
pub(crate) use fit::{ScoreSource, fit};
pub(crate) use reference::{FoldScores, reference_of_fold};
pub mod policy;

use crate::config::Calibration;
use crate::data::census::Census;
use crate::data::folds::Fold;
use crate::files;
use crate::markdown::measured;
use crate::measure::sample::{Sample, patients};
use crate::measure::sample_size::{missing, sensitivity_lower_bound};
use crate::progress::say;
use crate::run::RunDirectory;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result, ensure};
use comparison::MethodEvaluation;
use cxr::analysis::conformal::ConformalSets;
use cxr::reference::Reference;
use cxr::{AffineCalibration, DecisionPolicy};
use distribution::OodAnalysis;
use policy::{Rule, RuleEvaluation, evaluate_rules};
use serde::{Deserialize, Serialize};

const FILE: &str = "calibration.json";
/// The variant of the network's own weights.
pub(crate) const VARIANT: &str = "fp32";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    pub weights_sha256: String,
    pub calibration: AffineCalibration,
    pub policy: DecisionPolicy,
    pub reference: Reference,
    /// Prediction sets, one per configured error rate; empty if read from a bundle.
    pub conformal: Vec<ConformalSets>,
    /// Evaluation of the choices above; `None` if read from a bundle.
    pub analysis: Option<Analysis>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    pub methods: Vec<MethodEvaluation>,
    pub rules: Vec<RuleEvaluation>,
    pub ood: OodAnalysis,
}

impl Calibrated {
    pub fn load(run: &RunDirectory, weights_sha256: &str) -> Result<Self> {
        let file = run.file(FILE);
        let calibrated: Self = files::read_json(&file)?
            .with_context(|| format!("{}: not found; run `cxr-trainer calibrate` first", file.display()))?;
        ensure!(
            calibrated.weights_sha256 == weights_sha256,
            "{}: fitted for other weights; run `cxr-trainer calibrate` again",
            file.display()
        );
        Ok(calibrated)
    }

    pub fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        probabilities(self.calibration, logits)
    }

    pub fn ood_scores(&self, embeddings: &[Vec<f32>]) -> Result<Vec<f64>> {
        distribution::scores_of(&self.reference.embedding, embeddings)
    }
}

pub fn probabilities(calibration: AffineCalibration, logits: &[f64]) -> Vec<f64> {
    logits.iter().map(|logit| calibration.apply(*logit).value()).collect()
}

/// Fails for a calibrate fold that is too small. `share` is the fold's share of the data.
pub fn check_enough(census: &Census, config: &Calibration, share: f64) -> Result<()> {
    let least = config.min_per_class;
    let [negative, positive] = census.of_fold(policy::FOLD).map(|count| count.images);
    let missing = missing([negative, positive], least);
    let listed =
        |text: &dyn Fn(&(&str, usize)) -> String| missing.iter().map(text).collect::<Vec<_>>().join(" and ");
    let target = config.target_sensitivity;
    ensure!(
        missing.is_empty(),
        "the calibrate fold has {negative} negative and {positive} positive images; trainer.calibration.min_per_class asks for {least} of \
         each: {} are missing. The fold gets a share of {share} of the data: add about {} images in all, or raise \
         trainer.data.calibrate_fraction. Until something is trained in this run, it accepts new data or another fraction; after \
         that, choose another --run. An operating point is chosen for sensitivity {target}. With {positive} positives, \
         only {:.2} is guaranteed on new patients (95 %); with {least}, {:.2}",
        listed(&|(label, n)| format!("{n} more {label} images")),
        listed(&|(label, n)| format!("{:.0} more {label}", (*n as f64 / share).ceil())),
        sensitivity_lower_bound(target, positive),
        sensitivity_lower_bound(target, least)
    );
    Ok(())
}

pub fn calibrate(trained: &TrainedRun) -> Result<Calibrated> {
    check_enough(&trained.census()?, &trained.config.calibration, trained.config.data.calibrate_fraction)?;
    let (config, seed) = (&trained.config.calibration, trained.config.seed);
    let train = trained.score(Fold::Train)?.1.embeddings;
    let embedding = embedding_reference(&train, config.components, config.ood_score)?;
    drop(train);
    let (pixels, scores) = trained.score(policy::FOLD)?;
    let (select_pixels, select) = trained.score(Fold::Select)?;
    let (positive, select_positive) = (pixels.positive(), select_pixels.positive());
    let (groups, select_groups) = (patients(&pixels), patients(&select_pixels));
    let calibration = fit(ScoreSource::Network, &scores.logits, &positive)?;
    let (fitted, on_select) =
        (probabilities(calibration, &scores.logits), probabilities(calibration, &select.logits));
    let resamples = trained.config.evaluation.resamples;
    let sample = Sample { probabilities: &fitted, positive: &positive, patients: &groups, resamples, seed };
    let select_sample =
        Sample { probabilities: &on_select, positive: &select_positive, patients: &select_groups, ..sample };
    let known = distribution::scores_of(&embedding, &scores.embeddings)?;
    let ood_threshold = distribution::threshold(&known, config.ood_percentile);
    let policy = policy::policy(config, policy::FOLD.name(), &sample, (Rule::Exact, seed), ood_threshold)?;
    let analysis = Analysis {
        methods: comparison::compare(
            &Sample { probabilities: &scores.logits, ..sample },
            &Sample { probabilities: &select.logits, ..select_sample },
            config.cross_validation_parts,
            seed,
        )?,
        rules: evaluate_rules(config, seed, &sample, &select_sample)?,
        ood: distribution::analyse(trained, &embedding, &scores, (&select_pixels, &select))?,
    };
    let fold = FoldScores {
        pixels: &pixels,
        probabilities: [(VARIANT.to_owned(), fitted.clone())].into(),
        default_variant: VARIANT,
        embeddings: &scores.embeddings,
    };
    let originals = trained.config.export.originals.as_deref();
    let reference = reference_of_fold(fold, &embedding, &trained.recipe(), originals)?;
    let sets = |alpha: &f64| ConformalSets::fit(&fitted, &positive, *alpha);
    let calibrated = Calibrated {
        weights_sha256: trained.weights_sha256.clone(),
        calibration,
        policy,
        reference,
        conformal: config.conformal_alpha.iter().map(sets).collect(),
        analysis: Some(analysis),
    };
    files::write_json(&trained.run.file(FILE), &calibrated)?;
    print(&calibrated);
    Ok(calibrated)
}

fn print(calibrated: &Calibrated) {
    let Calibrated { calibration, policy, .. } = calibrated;
    say(format!("probability = sigmoid({:.4} x logit {:+.4})", calibration.scale, calibration.bias));
    say(format!(
        "operating point {:.4}: sensitivity {:.4}, specificity {:.4} on {} images; review from {:.4} to {:.4}; out of distribution above {:.3}",
        policy.threshold,
        policy.chosen.sensitivity,
        policy.chosen.specificity,
        policy.chosen.n,
        policy.review_band.low,
        policy.review_band.high,
        policy.ood_threshold
    ));
    for sets in &calibrated.conformal {
        say(format!(
            "prediction sets at alpha {}: negative up to {:.4}, positive from {:.4}",
            sets.alpha, sets.normal_up_to, sets.pneumonia_from
        ));
    }
    if let Some(analysis) = &calibrated.analysis {
        report_analysis(analysis);
    }
}

fn report_analysis(analysis: &Analysis) {
    for MethodEvaluation { method, cross_validated, select } in &analysis.methods {
        let text = |figures: &comparison::CalibrationFigures| {
            format!("ECE {}, log loss {:.4}", measured(&figures.ece), figures.log_loss.value)
        };
        let held_out =
            cross_validated.as_ref().map_or("not possible: one part cannot be left out".to_owned(), text);
        say(format!("{:<12} cross-validated: {held_out}; on select: {}", method.name(), text(select)));
    }
    for RuleEvaluation { rule, threshold, threshold_ci95: [low, high], cross_validated: cv, select } in
        &analysis.rules
    {
        say(format!(
            "{:<12} threshold {threshold:.4} [{low:.4}, {high:.4}]; sensitivity {:.4}, specificity {:.4} cross-validated; {:.4}, {:.4} on select",
            format!("{rule:?}").to_lowercase(),
            cv.sensitivity.value,
            cv.specificity.value,
            select.sensitivity.value,
            select.specificity.value
        ));
    }
    for result in &analysis.ood.candidates {
        let altered: Vec<String> =
            result.altered.iter().map(|(name, share)| format!("{name} {:.2}", share.value)).collect();
        let (name, select) = (result.score.name(), result.select);
        let development_and_held_out = result.development.zip(result.held_out);
        let out_of_distribution =
            development_and_held_out.map_or_else(String::new, |(development, held_out)| {
                format!(
                    "; out-of-distribution images {}/{} and {}/{}",
                    development.k, development.n, held_out.k, held_out.n
                )
            });
        let altered = altered.join(", ");
        say(format!("{name:<12} flags {}/{} of select{out_of_distribution}; {altered}", select.k, select.n));
    }
}
