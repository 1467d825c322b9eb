//! Recalibration: probability and operating point of a released bundle fitted again to labels that its service logged. The
//! graph stays as it is, to the byte; the result is the bundle's next version.

pub mod labels;

use crate::calibrate::comparison::{self, CalibrationFigures};
use crate::calibrate::policy::{self, Rule};
use crate::calibrate::{CALIBRATION_BINS, Scored, probabilities};
use crate::config::Config;
use crate::console::say;
use crate::environment::now;
use crate::evaluate::measure::Sample;
use crate::export::{self, BundleFiles};
use crate::fitness;
use anyhow::{Context, Result, bail, ensure};
use cxr::bundle::{Bundle, MANIFEST, Manifest, Measured, SIGNATURE, Trust, sign};
use cxr::calibrate::compare::{Method, cross_validated, grouped_parts};
use cxr::decide::OperatingPoint;
use cxr::reference::{Quantiles, Reference};
use cxr::scoring::bootstrap::interval95;
use cxr::scoring::reliability::{bins_equal_width, log_loss_of};
use cxr::{AffineCalibration, DecisionPolicy};
use labels::{Expected, Labelled};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The file in the new bundle that says where its calibration comes from.
pub const FILE: &str = "recalibration.json";
const CARD: &str = "MODEL_CARD.md";
/// What the operating point's origin is called.
const FOLD: &str = "site labels";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The old bundle.
    pub bundle: &'a Path,
    /// Labelled predictions.
    pub labels: &'a Path,
    /// The new bundle's folder.
    pub out: &'a Path,
    /// Its version.
    pub version: &'a str,
    /// Who signs it.
    pub signing_key: &'a Path,
    /// Whether labels that are too few or do not help are good enough.
    pub force: bool,
}

/// `recalibration.json`, a file of the bundle that was recalibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibration {
    /// Version of the bundle it was made from.
    pub parent_version: String,
    /// SHA-256 of that bundle's manifest.
    pub parent_digest: String,
    /// Digests of earlier bundles with the same graph, the youngest first.
    pub ancestors: Vec<String>,
    /// SHA-256 of the labels' file.
    pub labels_sha256: String,
    /// Labelled images by class: negative, positive.
    pub n: [usize; 2],
    /// Patients; as many as images where the labels do not say.
    pub n_patients: usize,
    /// Rows that were passed over, by reason.
    pub passed_over: BTreeMap<String, usize>,
    /// Probability before.
    pub calibration_before: AffineCalibration,
    /// Probability after.
    pub calibration_after: AffineCalibration,
    /// The old probabilities of these images.
    pub before: CalibrationFigures,
    /// The new ones, each by a fit on other patients.
    pub after: CalibrationFigures,
    /// Log loss before minus after over the same resamples: positive is better.
    pub improvement: Measured,
    /// The new operating point.
    pub chosen: OperatingPoint,
    /// Whether it was forced.
    pub forced: bool,
}

/// Fits, judges and writes the new bundle.
///
/// # Errors
/// When labels and bundle do not belong together, the labels are too few or do not help, or the bundle cannot be written.
pub fn recalibrate(config: &Config, request: &Request) -> Result<Recalibration> {
    ensure!(request.out != request.bundle, "--out: the old bundle stays as it is; name another folder");
    let key = export::signing_key(request.signing_key)?;
    let bundle = export::open(request.bundle, &Trust::Unsigned)?;
    let (name, _) = bundle.variant(None)?;
    check_version(&bundle.manifest().version, request.version)?;
    let others = bundle.manifest().variants.keys().filter(|variant| *variant != name);
    for other in others {
        say(format!(
            "variant {other} is left out: it needs logits of its own, and the labels' are those of {name}"
        ));
    }
    let ancestors = ancestors(&bundle)?;
    let expected = Expected { bundle_digests: &ancestors, variant: name, labels: &bundle.manifest().labels };
    let labelled = Labelled::read(request.labels, &expected)?;
    let (found, policy) = fit(config, request, &bundle, &labelled, ancestors.clone())?;
    report(&found, &labelled);
    ensure_better(&found, config, request.force)?;
    let files =
        assemble(&bundle, request.version, &labelled, &found, policy, |manifest| sign(manifest, &key))?;
    export::replace_folder(request.out, &files)?;
    let written = export::open(request.out, &Trust::SignedBy(vec![key.verifying_key()]))?;
    let manifest = written.manifest();
    say(format!("{} {} -> {}", manifest.name, manifest.version, request.out.display()));
    say(format!("bundle digest {}, signed by {}", written.digest(), written.signed_by().unwrap_or("nobody")));
    Ok(found)
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

/// A recalibration is a minor version: what the bundle takes and gives stays, its probabilities change.
fn check_version(old: &str, new: &str) -> Result<()> {
    let parse = |text: &str| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let old_parts =
        parse(old).with_context(|| format!("the bundle's version {old:?} is not MAJOR.MINOR.PATCH"))?;
    let later = parse(new).is_some_and(|new| new[0] == old_parts[0] && new[1] > old_parts[1]);
    let next = format!("{}.{}.0", old_parts[0], old_parts[1] + 1);
    ensure!(later, "--version {new}: a recalibration of {old} is a later minor version, for example {next}");
    Ok(())
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
        "{}: {} normal images and {} pneumonias; both are needed",
        request.labels.display(),
        n[0],
        n[1]
    );
    let calibration = crate::calibrate::fit(Scored::Site, logits, positive)?;
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

fn report(found: &Recalibration, labelled: &Labelled) {
    let [negative, positive] = found.n;
    say(format!("{negative} normal images and {positive} pneumonias of {} patients", found.n_patients));
    if !labelled.grouped {
        say(
            "the labels do not say whose image each is (column subject): each counts as a patient of its own",
        );
    }
    for (reason, n) in &found.passed_over {
        say(format!("{n} rows passed over: {reason}"));
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

fn ensure_better(found: &Recalibration, config: &Config, force: bool) -> Result<()> {
    let least = config.calibration.recalibration_min_per_class;
    let [negative, positive] = found.n;
    let too_few = negative.min(positive) < least;
    let better = found.improvement.ci95[0] > 0.0;
    if force || (better && !too_few) {
        return Ok(());
    }
    if too_few {
        bail!(
            "{negative} normal images and {positive} pneumonias; trainer.calibration.recalibration_min_per_class asks for {least} of each: collect more labels, or --force"
        );
    }
    bail!(
        "the new calibration is not shown to be better: the interval of the fall in log loss reaches {:.4}; keep the bundle, collect more labels, or --force",
        found.improvement.ci95[0]
    )
}

fn assemble(
    bundle: &Bundle,
    version: &str,
    labelled: &Labelled,
    found: &Recalibration,
    policy: DecisionPolicy,
    sign: impl Fn(&[u8]) -> cxr::bundle::BundleSignature,
) -> Result<BundleFiles> {
    let mut manifest: Manifest = bundle.manifest().clone();
    version.clone_into(&mut manifest.version);
    manifest.created = now()?;
    let default = manifest.default_variant.clone();
    let variant = manifest.variants.get_mut(&default).context("the bundle lacks its default variant")?;
    variant.calibration = found.calibration_after;
    variant.policy = policy;
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
    let left_out: Vec<String> = manifest
        .variants
        .extract_if(.., |name, _| *name != default)
        .map(|(_, variant)| variant.file)
        .collect();
    let mut files = BundleFiles::new();
    // The verdict was on the old probability and operating point; the card still says what it was.
    let stays = |name: &&String| !left_out.contains(name) && name.as_str() != fitness::FILE;
    for name in manifest.files.keys().filter(stays) {
        files.insert(name.clone(), bundle.file(name).context("a file of the bundle is missing")?.to_vec());
    }
    files.insert(Manifest::REFERENCE.to_owned(), export::json(&reference)?);
    files.insert(FILE.to_owned(), export::json(found)?);
    let card = files.remove(CARD).unwrap_or_default();
    files.insert(CARD.to_owned(), card_with(&String::from_utf8_lossy(&card), version, found).into_bytes());
    manifest.files = files.iter().map(|(name, bytes)| (name.clone(), export::digest(bytes))).collect();
    let bytes = export::json(&manifest)?;
    files.insert(SIGNATURE.to_owned(), export::json(&sign(&bytes))?);
    files.insert(MANIFEST.to_owned(), bytes);
    Ok(files)
}

/// The card with what changed above everything else: the figures below were measured with the old operating point.
fn card_with(card: &str, version: &str, found: &Recalibration) -> String {
    let (before, after) = (&found.before.ece, &found.after.ece);
    let (old, new) = (found.calibration_before, found.calibration_after);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# Version {version}: recalibrated\n\n\
         Probability and operating point were fitted to {} images that a site labelled ({} normal, {} pneumonia, {} patients).\n\
         The network is that of {}. Everything below was measured with the old probability and operating point; areas under\n\
         the curve hold unchanged, thresholds and calibration errors do not.\n\n\
         - Probability: sigmoid({:.4} x logit {:+.4}), before sigmoid({:.4} x logit {:+.4}).\n\
         - Expected calibration error on these images: {:.4} [{:.4}, {:.4}] before, {:.4} [{:.4}, {:.4}] after (cross-validated).\n\
         - Operating point: sensitivity {:.4}, specificity {:.4} on these images, target {}.\n{}\n{card}",
        found.n[0] + found.n[1],
        found.n[0],
        found.n[1],
        found.n_patients,
        found.parent_version,
        new.scale,
        new.bias,
        old.scale,
        old.bias,
        before.value,
        before.ci95[0],
        before.ci95[1],
        after.value,
        after.ci95[0],
        after.ci95[1],
        found.chosen.sensitivity,
        found.chosen.specificity,
        found.chosen.target_sensitivity,
        if found.forced {
            "- Forced: the labels were too few or the improvement was not shown.\n"
        } else {
            ""
        },
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_later_minor_version_is_one() {
        assert!(check_version("1.2.3", "1.3.0").is_ok() && check_version("1.2.3", "1.10.1").is_ok());
        for wrong in ["1.2.4", "1.1.0", "2.0.0", "1.3", "v1.3.0"] {
            let error = check_version("1.2.3", wrong).unwrap_err().to_string();
            assert!(error.contains("1.3.0"), "{error}");
        }
    }
}
