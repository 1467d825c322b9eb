//! The summary, section 9 and the conclusion: sentences whose figures and directions come from the measurements.

use super::document::{Document, Found};
use super::sources::Sources;
use super::text::measured;
use crate::dataset::folds::Fold;
use crate::evaluate::EvaluationFile;
use crate::robustness::Robustness;
use cxr::bundle::Measured;

/// A change of the area under the curve that is called a weakness.
const NOTABLE_LOSS: f64 = 0.02;

/// The first paragraph: what a reader who stops here must know.
pub(super) fn summary(sources: &Sources, document: &mut Document) {
    document.paragraph(verdict(sources));
    document.paragraph(
        "Every figure was measured by the commands that are named; what was not measured says so, with the reason. Point estimates are \
         followed by 95 % intervals.",
    );
}

/// Two or three sentences.
pub(super) fn verdict(sources: &Sources) -> String {
    match sources.evaluation(Fold::Test) {
        Ok(file) => {
            let f = &file.figures;
            format!(
                "On the official test split ({} images) the network reaches AUC {}; at the operating point that was chosen beforehand, \
                 sensitivity {} and specificity {}. {}",
                f.auc.n,
                measured(&f.auc),
                measured(&f.sensitivity),
                measured(&f.specificity),
                shift(sources, file)
            )
        }
        Err(why) => format!("The official test split was not measured: {why}."),
    }
}

/// How test differs from select.
fn shift(sources: &Sources, test: &EvaluationFile) -> String {
    let Ok(select) = sources.evaluation(Fold::Select) else {
        return "The held-out part of the training data was not measured.".to_owned();
    };
    let apart = |a: &Measured, b: &Measured| a.ci95[1] < b.ci95[0];
    let (t, s) = (&test.figures, &select.figures);
    if apart(&t.auc, &s.auc) || apart(&t.specificity, &s.specificity) {
        format!(
            "On the held-out part of the training data (select) it reaches AUC {} and specificity {}: the test split is harder by more \
             than chance, so expect figures at another site to differ as much.",
            measured(&s.auc),
            measured(&s.specificity)
        )
    } else {
        format!(
            "That is what the held-out part of the training data (select) promised: AUC {}.",
            measured(&s.auc)
        )
    }
}

/// Section 9.
pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("9. Findings");
    document.heading("Key findings");
    document.paragraph(verdict(sources));
    document
        .found("Hardest corruption", &sources.robustness.as_ref().map_err(Clone::clone).and_then(hardest));
    document.found("Shortcuts", &sources.robustness.as_ref().map_err(Clone::clone).and_then(shortcuts));
    document.found(
        "Calibration",
        &sources.evaluation(Fold::Test).map(|file| {
            let c = &file.details.calibration;
            let at = |figure: &Option<Measured>| super::text::optional(figure.as_ref());
            format!(
                "ECE on the test split {} before, {} after calibration, {} with a prior shift correction",
                at(&c.ece_before),
                at(&c.ece_after),
                at(&c.ece_prior_shift)
            )
        }),
    );
    document.heading("Strengths");
    document.item("Division", "folds are disjoint by patient and free of duplicates, checked and frozen; every look at the test split is on record");
    document.item("Repeatability", "the same seed gives the same weights, also after a kill; the served graph reproduces the network and its Grad-CAM");
    document.heading("Limitations");
    document.item("Data", &sources.config().export.intended_use.statement);
    document.item(
        "Folds",
        "select and calibrate come from the published training data, so thresholds and probabilities fit images like those",
    );
    document.found(
        "Elsewhere",
        &sources.external.as_ref().map_err(Clone::clone).map(|file| {
            format!(
                "{}: AUC {}, specificity {}. {}",
                file.name,
                measured(&file.figures.auc),
                measured(&file.figures.specificity),
                file.note.trim()
            )
        }),
    );
    document.heading("Future improvements");
    document.item("Data", "images and labels of the sites that use it, above all normal images, and a lung segmentation to say where evidence lies");
    document.item("Networks", "ImageNet weights for DenseNet-121, ResNet-50 and EfficientNet-B0, and a GPU to train them at higher resolution");
    document.heading("Deployment recommendations");
    document.item("Review", "a radiologist reads every positive and everything the policy sends to review");
    document.found(
        "Automatic flagging",
        &sources.calibrated.as_ref().map_err(Clone::clone).map(|calibrated| {
            format!(
                "from a calibrated probability of {:.4} on; never act on the probability alone",
                calibrated.policy.threshold
            )
        }),
    );
    document.item(
        "Recalibration",
        "with each site's labels before its first use and whenever the periodic ECE leaves its interval",
    );
    document.item(
        "Monitoring",
        "drift tests without pause; images above the out-of-distribution threshold are read by a person",
    );
}

/// The corruption that costs most.
fn hardest(found: &Robustness) -> Found<String> {
    let suite = found.corruptions.as_ref().ok_or("corruptions were left out")?;
    let worst = suite.results.iter().min_by(|a, b| a.figures.auc.value.total_cmp(&b.figures.auc.value));
    let worst = worst.ok_or("no corruption was measured")?;
    let many =
        suite.results.iter().filter(|r| found.clean.auc.value - r.figures.auc.value > NOTABLE_LOSS).count();
    Ok(format!(
        "{} at severity {}: AUC {} against {}; {many} of {} conditions cost more than {NOTABLE_LOSS}",
        super::text::key(&worst.corruption),
        worst.severity,
        measured(&worst.figures.auc),
        measured(&found.clean.auc),
        suite.results.len()
    ))
}

/// The probe that shows most.
fn shortcuts(found: &Robustness) -> Found<String> {
    let probes = found.probes.as_ref().ok_or("probes were left out")?;
    let worst = probes.changes.iter().min_by(|a, b| a.auc_change.value.total_cmp(&b.auc_change.value));
    let worst = worst.ok_or("no change was measured")?;
    let told = probes.classifiers.iter().filter_map(|probe| Some((probe.auc.as_ref()?.value, &probe.name)));
    let told = told.max_by(|a, b| a.0.total_cmp(&b.0)).map_or_else(String::new, |(auc, name)| {
        format!(
            "; the data offers more than the network takes: {name} alone tells the classes with AUC {auc:.3}"
        )
    });
    Ok(format!(
        "the change that costs most is {}: AUC {} ({}){told}",
        worst.name,
        measured(&worst.auc),
        measured(&worst.auc_change)
    ))
}
