//! Recalibration: refits probability and operating point of a released bundle to labels from its service's
//! log. The graph stays the same to the byte; the result is the bundle's next version.

mod card;
pub mod labels;
mod result;
mod rows;

use crate::bundle;
use crate::config::Config;
use crate::export::{self, Delivered};
use crate::measure::calibrate::comparison;
use crate::measure::calibrate::policy::{self, Rule};
use crate::measure::calibrate::{ScoreSource, probabilities};
use crate::measure::sample::{CALIBRATION_BINS, Sample};
use crate::progress::say;
use crate::release::revision::{self, Revision};
use crate::run::verdict;
use anyhow::{Context, Result, ensure};
use cxr::DecisionPolicy;
use cxr::analysis::calibration::{Method, cross_validated, grouped_parts};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::reliability::{bins_equal_width, log_loss_of};
use cxr::bundle::{Bundle, Manifest, Measured};
use cxr::reference::{Quantiles, Reference};
use labels::{Expected, Labelled};
use result::by_class;
pub use result::{FILE, Recalibration};
use std::path::Path;

/// What the operating point's origin is called.
const FOLD: &str = "site labels";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The old bundle, the new one's folder and version, and who signs it.
    pub revision: revision::Request<'a>,
    /// Labelled predictions: an export of the service's log; `-` is standard input.
    pub labels: &'a Path,
    /// Whether labels that are too few or do not help are good enough.
    pub force: bool,
}

/// Fits, judges and writes the new bundle.
///
/// # Errors
/// When labels and bundle do not belong together, the labels are too few or do not help, the version is taken by other answers, or
/// `verify` refuses the new bundle: nothing is written then.
pub fn recalibrate(config: &Config, request: &Request) -> Result<(Recalibration, Delivered)> {
    let paths = &request.revision;
    ensure!(
        !same_folder(paths.out, paths.bundle),
        "--out: the old bundle stays as it is; name another folder"
    );
    let bundle = bundle::open(paths.bundle, None)?;
    let mut revision = Revision::of(&bundle, paths)?;
    let (name, _) = bundle.variant(None)?;
    let ancestors = ancestors(&bundle)?;
    let expected = Expected { bundle_digests: &ancestors, variant: name, labels: &bundle.manifest().labels };
    let labelled = Labelled::read(request.labels, &expected)?;
    let (found, policy) = fit(config, request, &bundle, &labelled, ancestors.clone())?;
    report(&found, &labelled, &bundle.manifest().labels);
    let short = shortcomings(&found, config, &bundle.manifest().labels);
    ensure_better(&short, request.force)?;
    recalibrated(&mut revision, &bundle, &labelled, &found, (policy, &short))?;
    let delivered = revision.deliver(&config.tracking, paths)?;
    Ok((found, delivered))
}

fn same_folder(one: &Path, other: &Path) -> bool {
    let canonical = |folder: &Path| folder.canonicalize().ok();
    one == other || canonical(one).is_some_and(|one| canonical(other) == Some(one))
}

/// The bundle's own digest and those of the bundles it was recalibrated from: their logits are the same.
fn ancestors(bundle: &Bundle) -> Result<Vec<String>> {
    let mut digests = vec![bundle.digest().to_owned()];
    if let Some(bytes) = bundle.file(FILE) {
        let earlier: Recalibration =
            serde_json::from_slice(bytes).with_context(|| format!("{FILE}: is no recalibration"))?;
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
        "{}: labels of {} images, where both classes are needed; {}. Labels come into the log by POST /v1/predictions/ID/labels",
        request.labels.display(),
        by_class(n, &bundle.manifest().labels),
        labelled.passed_over()
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
    let improvement =
        Measured { value: mean(&all), ci95: ci95.context("one patient has no interval")?, n: all.len() };
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
        passed_over: labelled.passed_over.clone(),
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

fn report(found: &Recalibration, labelled: &Labelled, labels: &[String; 2]) {
    say(format!("labels of {} images of {} patients", by_class(found.n, labels), found.n_patients));
    if !labelled.grouped {
        say(
            "the log does not say whose image each is (X-Subject-Id with each image): each image counts as a patient of its own",
        );
    }
    if !found.sources.is_empty() {
        let sources: Vec<String> = found.sources.iter().map(|(source, n)| format!("{n} {source}")).collect();
        say(format!("labels by source: {}", sources.join(", ")));
    }
    if found.n_relabelled > 0 {
        say(format!("{} images had another label before: the latest counts", found.n_relabelled));
    }
    if !found.passed_over.is_empty() {
        say(format!("rows passed over: {}", labelled.passed_over()));
    }
    for (name, figures) in [("before", &found.before), ("after, cross-validated", &found.after)] {
        let Measured { value, ci95: [low, high], .. } = figures.ece;
        say(format!(
            "{name:<24} ECE {value:.4} [{low:.4}, {high:.4}]  log loss {:.4}",
            figures.log_loss.value
        ));
    }
    let Measured { value, ci95: [low, high], .. } = found.improvement;
    say(format!("log loss falls by {value:.4} [{low:.4}, {high:.4}]"));
}

/// What speaks against the new calibration.
fn shortcomings(found: &Recalibration, config: &Config, labels: &[String; 2]) -> Vec<String> {
    let least = config.calibration.recalibration_min_per_class;
    let mut short = Vec::new();
    if found.n.into_iter().any(|n| n < least) {
        short.push(format!(
            "labels of {} images; trainer.calibration.recalibration_min_per_class asks for {least} of each",
            by_class(found.n, labels)
        ));
    }
    if found.improvement.ci95[0] <= 0.0 {
        short.push(format!(
            "the new calibration is not shown to be better: the interval of the fall in log loss reaches {:.4}",
            found.improvement.ci95[0]
        ));
    }
    short
}

fn ensure_better(short: &[String], force: bool) -> Result<()> {
    ensure!(
        force || short.is_empty(),
        "{}; keep the bundle, collect more labels, or --force a bundle whose card says so",
        short.join("; ")
    );
    Ok(())
}

/// The next version with the new calibration, policy and reference. Only the default variant stays: the labels' logits are its own.
fn recalibrated(
    revision: &mut Revision,
    bundle: &Bundle,
    labelled: &Labelled,
    found: &Recalibration,
    (policy, short): (DecisionPolicy, &[String]),
) -> Result<()> {
    let manifest = &mut revision.manifest;
    let default = manifest.default_variant.clone();
    for (name, other) in manifest.variants.extract_if(.., |name, _| *name != default) {
        say(format!(
            "the variant {name} is left out: the labels' logits are those of {default}; serve the new bundle without model.variant, and make {name} again with `quantise`"
        ));
        revision.files.remove(&other.file);
    }
    let variant = manifest.variants.get_mut(&default).context("the bundle lacks its default variant")?;
    variant.calibration = found.calibration_after;
    variant.policy = policy.clone();
    let fitted = probabilities(found.calibration_after, &labelled.logits);
    let reference = Reference {
        fold: FOLD.to_owned(),
        n: fitted.len(),
        base_rate: found.n[1] as f64 / fitted.len() as f64,
        probability: Quantiles::of(&fitted).context("no labels")?,
        calibration: bins_equal_width(&fitted, &labelled.positive, CALIBRATION_BINS),
        // What images and embeddings look like was measured on pixels, which no log holds.
        ..bundle.reference().clone()
    };
    revision.files.insert(Manifest::REFERENCE.to_owned(), export::json(&reference)?);
    revision.files.insert(FILE.to_owned(), export::json(found)?);
    // The verdict was on the old probability and operating point; the card still says what it was.
    revision.files.remove(verdict::FILE);
    revision.card = card::recalibrated(&revision.card, found, (&policy, short), &manifest.labels);
    Ok(())
}
