//! Recalibration: refits calibration and operating point of a released bundle to labels from the service's
//! audit log. The result is the bundle's next version, with the same graph.

mod card;
pub mod labels;
pub mod measured;
mod result;
mod rows;

use crate::bundle;
use crate::config::Config;
use crate::export;
use crate::markdown::measured;
use crate::measure::calibrate::comparison;
use crate::measure::calibrate::policy::{self, Rule};
use crate::measure::calibrate::{ScoreSource, probabilities};
use crate::measure::sample::{CALIBRATION_BINS, Sample};
use crate::progress::say;
use crate::release::revision::{self, Revision};
use crate::run::verdict;
use anyhow::{Context, Result, ensure};
use cxr::analysis::calibration::{Method, cross_validated, grouped_parts};
use cxr::analysis::population::Population;
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::reliability::log_loss_of;
use cxr::bundle::{Bundle, Manifest, Measured};
use cxr::reference::Reference;
use cxr::{AffineCalibration, DecisionPolicy};
use labels::{Expected, Labelled};
use result::by_class;
pub use result::{FILE, Recalibration};
use std::path::Path;

/// Name of the fold in policy and reference.
const FOLD: &str = "site labels";

#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub revision: revision::Request<'a>,
    /// Export of the audit log; `-` is standard input.
    pub labels: &'a Path,
    /// Writes the bundle even if the labels are too few or do not improve it.
    pub force: bool,
}

/// Fits, compares and writes the new bundle; writes nothing if the version is taken or `verify` refuses it.
pub fn recalibrate(config: &Config, request: &Request) -> Result<()> {
    let paths = &request.revision;
    ensure!(!same_folder(paths.out, paths.bundle), "--out: must not be the folder of --bundle");
    let bundle = bundle::open(paths.bundle, None)?;
    let mut revision = Revision::of(&bundle, paths)?;
    let ((variant, _), ancestors, labels) =
        (bundle.variant(None)?, ancestors(&bundle)?, &bundle.manifest().labels);
    let expected = Expected { bundle_digests: &ancestors, variant, labels };
    let labelled = Labelled::read(request.labels, &expected)?;
    let (found, policy) = fit(config, request, &bundle, &labelled, ancestors.clone())?;
    print(&found, &labelled, labels);
    let objections = objections(&found, config, labels);
    ensure!(
        request.force || objections.is_empty(),
        "{}; keep the bundle, collect more labels, or pass --force, which the card will state",
        objections.join("; ")
    );
    apply(&mut revision, &bundle, &labelled, &found, (policy, &objections))?;
    revision.install(&config.tracking, paths)
}

fn same_folder(one: &Path, other: &Path) -> bool {
    let canonical = |folder: &Path| folder.canonicalize().ok();
    one == other || canonical(one).is_some_and(|one| canonical(other) == Some(one))
}

/// Digests of the bundle and of those that it was recalibrated from, whose logits are the same.
fn ancestors(bundle: &Bundle) -> Result<Vec<String>> {
    let mut digests = vec![bundle.digest().to_owned()];
    if let Some(bytes) = bundle.file(FILE) {
        let earlier: Recalibration =
            serde_json::from_slice(bytes).with_context(|| format!("{FILE}: not a recalibration"))?;
        digests.extend(earlier.ancestors);
    }
    Ok(digests)
}

fn fit(
    config: &Config,
    request: &Request,
    bundle: &Bundle,
    labelled: &Labelled,
    ancestors: Vec<String>,
) -> Result<(Recalibration, DecisionPolicy)> {
    let (_, variant) = bundle.variant(None)?;
    let Labelled { logits, positive, patients, .. } = labelled;
    let n = labelled.n_by_class();
    ensure!(
        n.iter().all(|n| *n > 0),
        "{}: labels of {} images, but both classes are needed; {}. POST /v1/predictions/ID/labels adds labels to the log",
        request.labels.display(),
        by_class(n, &bundle.manifest().labels),
        labelled.skipped()
    );
    let calibration = crate::measure::calibrate::fit(ScoreSource::Site, logits, positive)?;
    let parts = grouped_parts(patients, positive, config.calibration.cross_validation_parts, config.seed);
    let held_out = cross_validated(Method::Affine, logits, positive, &parts)
        .context("too few patients to cross-validate the new calibration")?;
    let (old, new) = (probabilities(variant.calibration, logits), probabilities(calibration, logits));
    let sample = Sample {
        probabilities: &old,
        positive,
        patients,
        resamples: config.evaluation.resamples,
        seed: config.seed,
    };
    let gain = |i: &usize| log_loss_of(old[*i], positive[*i]) - log_loss_of(held_out[*i], positive[*i]);
    let mean = |images: &[usize]| images.iter().map(gain).sum::<f64>() / images.len() as f64;
    let all: Vec<usize> = (0..logits.len()).collect();
    let ci95 = interval95(patients, sample.resamples, sample.seed, |images| Some(mean(images)));
    let improvement = Measured {
        value: mean(&all),
        ci95: ci95.context("a single patient gives no interval")?,
        n: all.len(),
    };
    let policy = policy::policy(
        &config.calibration,
        FOLD,
        &Sample { probabilities: &new, ..sample },
        (Rule::Exact, config.seed),
        variant.policy.ood_threshold,
    )?;
    let found = Recalibration {
        parent_version: bundle.manifest().version.clone(),
        parent_digest: bundle.digest().to_owned(),
        ancestors,
        labels_sha256: labelled.sha256.clone(),
        n,
        n_patients: patients.iter().max().map_or(0, |last| last + 1),
        passed_over: labelled.skipped.clone(),
        sources: labelled.sources.clone(),
        n_relabelled: labelled.n_relabelled,
        calibration_before: variant.calibration,
        calibration_after: calibration,
        before: comparison::figures(&sample)?,
        after: comparison::figures(&Sample { probabilities: &held_out, ..sample })?,
        improvement,
        chosen: policy.chosen.clone(),
        forced: request.force,
    };
    Ok((found, policy))
}

fn print(found: &Recalibration, labelled: &Labelled, labels: &[String; 2]) {
    say(format!("labels of {} images of {} patients", by_class(found.n, labels), found.n_patients));
    if !labelled.grouped {
        say("the log does not identify patients (X-Subject-Id): each image counts as a patient of its own");
    }
    if !found.sources.is_empty() {
        let sources: Vec<String> = found.sources.iter().map(|(source, n)| format!("{n} {source}")).collect();
        say(format!("labels by source: {}", sources.join(", ")));
    }
    if found.n_relabelled > 0 {
        say(format!("{} images had another label before: the latest counts", found.n_relabelled));
    }
    if !found.passed_over.is_empty() {
        say(format!("rows skipped: {}", labelled.skipped()));
    }
    for (name, figures) in [("before", &found.before), ("after, cross-validated", &found.after)] {
        let (ece, log_loss) = (measured(&figures.ece), figures.log_loss.value);
        say(format!("{name:<24} ECE {ece}  log loss {log_loss:.4}"));
    }
    say(format!("log loss decreases by {}", measured(&found.improvement)));
}

/// Reasons against the new calibration.
fn objections(found: &Recalibration, config: &Config, labels: &[String; 2]) -> Vec<String> {
    let least = config.calibration.recalibration_min_per_class;
    let mut objections = Vec::new();
    if found.n.into_iter().any(|n| n < least) {
        objections.push(format!(
            "labels of {} images; trainer.calibration.recalibration_min_per_class requires {least} of each",
            by_class(found.n, labels)
        ));
    }
    if found.improvement.ci95[0] <= 0.0 {
        objections.push(format!(
            "the new calibration is not shown to be better: the interval of the decrease in log loss reaches down to {:.4}",
            found.improvement.ci95[0]
        ));
    }
    objections
}

/// Sets calibration, policy and reference. Keeps only the default variant, which gave the logits.
fn apply(
    revision: &mut Revision,
    bundle: &Bundle,
    labelled: &Labelled,
    found: &Recalibration,
    (policy, objections): (DecisionPolicy, &[String]),
) -> Result<()> {
    let manifest = &mut revision.manifest;
    let default = manifest.default_variant.clone();
    for (name, other) in manifest.variants.extract_if(.., |name, _| *name != default) {
        say(format!(
            "the variant {name} is left out: the logits in the log are those of {default}; remove model.variant from the service's configuration, and add {name} again with `quantise`"
        ));
        revision.files.remove(&other.file);
    }
    let variant = manifest.variants.get_mut(&default).context("the bundle lacks its default variant")?;
    variant.calibration = found.calibration_after;
    variant.policy = policy.clone();
    let reference = reference(bundle, labelled, (&default, found.calibration_after))?;
    revision.files.insert(Manifest::REFERENCE.to_owned(), export::reference_json(&reference)?);
    revision.files.insert(FILE.to_owned(), export::json(found)?);
    // The verdict was on the old calibration and operating point. The card still states it.
    revision.files.remove(verdict::FILE);
    revision.card = card::recalibrated(&revision.card, found, (&policy, objections), &manifest.labels)?;
    Ok(())
}

/// The reference of the labelled images alone. Only the distribution of the training embeddings stays: it is
/// the measure of positions, not a population to compare with.
fn reference(
    bundle: &Bundle,
    labelled: &Labelled,
    (variant, calibration): (&str, AffineCalibration),
) -> Result<Reference> {
    let mut not_measured = labelled.measured.not_measured.clone();
    not_measured.insert("rejections".to_owned(), "the labels are of predicted images".to_owned());
    let population = Population {
        fold: FOLD,
        positive: &labelled.positive,
        patients: &labelled.patients,
        probabilities: [(variant.to_owned(), probabilities(calibration, &labelled.logits))].into(),
        default_variant: variant,
        positions: &labelled.measured.positions,
        statistics: labelled.measured.statistics.clone(),
        not_measured,
    };
    population.reference(bundle.reference().embedding.clone(), CALIBRATION_BINS).context("no labels")
}
