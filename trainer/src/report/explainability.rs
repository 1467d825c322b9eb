//! Section 5: where the network looks, how it fails, what keeps it safe.

use super::document::Document;
use super::sources::Sources;
use super::text::{measured, optional, proportion};
use crate::data::folds::Fold;
use crate::measure::evaluate::named_groups;
use crate::measure::explain::Explanation;
use crate::measure::explain::overlays::CONTACT_SHEET;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("5. Explainability and safety");
    document.heading("Grad-CAM");
    match &sources.explanation {
        Ok(explanation) => maps(sources, explanation, document),
        Err(why) => document.missing("Regions analysed", why),
    }
    document.missing(
        "Clinical plausibility, read by a radiologist",
        "the trainer takes no readings; the overlays are in the run directory for one",
    );
    failures(sources, document);
    bias(sources, document);
    safety(sources, document);
}

fn maps(sources: &Sources, explanation: &Explanation, document: &mut Document) {
    let of = format!("{} images of {}", explanation.n, explanation.fold.name());
    match &explanation.agreement {
        Some(agreement) => document.item(
            "Grad-CAM by automatic differentiation against the map of the exported graph",
            format_args!(
                "largest relative difference {:.1e} over {} images, {:.0e} allowed: they are the same map",
                agreement.largest_relative_difference, agreement.n, agreement.tolerance
            ),
        ),
        None => document.missing("Agreement with Grad-CAM", "`cxr-trainer explain` was interrupted"),
    }
    match &explanation.randomisation {
        Some(randomisation) => {
            document.item(
                "Weights drawn anew from the classifier down (Adebayo et al. 2018)",
                if randomisation.passed {
                    "passed: the maps depend on what was learnt"
                } else {
                    "NOT passed: the maps stay similar without what was learnt; do not trust them"
                },
            );
            document.table(
                ["drawn anew up to", "rank correlation with the trained map", "structural similarity"],
                randomisation
                    .steps
                    .iter()
                    .map(|step| [step.stage.clone(), measured(&step.spearman), measured(&step.ssim)]),
            );
        }
        None => document.missing("Randomisation check", "`cxr-trainer explain` was interrupted"),
    }
    match &explanation.saliency {
        Some(saliency) => {
            document.item(
                "Regions analysed",
                format_args!(
                    "{of}: share of the positive evidence on the border ({:.0} % of a side wide, {:.0} % of the area) and in the corners \
                     (squares of {:.0} % of a side, {:.0} % of the area); one cell of the map is {} x {} of the image",
                    saliency.border_width * 100.0,
                    saliency.border_area * 100.0,
                    saliency.corner_side * 100.0,
                    saliency.corner_area * 100.0,
                    format_args!("1/{}", saliency.map_size.0),
                    format_args!("1/{}", saliency.map_size.1),
                ),
            );
            document.table(
                ["images", "n", "without evidence", "border", "corners"],
                saliency.groups.iter().map(|group| {
                    [
                        group.group.clone(),
                        group.n.to_string(),
                        group.n_without_evidence.to_string(),
                        optional(group.border.as_ref()),
                        optional(group.corners.as_ref()),
                    ]
                }),
            );
        }
        None => document.missing("Regions analysed", "`cxr-trainer explain` was interrupted"),
    }
    document.item("Lung fields", &explanation.lung_field);
    if explanation.overlays.is_some() {
        document.figure(
            &sources.figure(CONTACT_SHEET),
            "The most confident images of every outcome, each beside the same under its map",
        );
    }
}

fn failures(sources: &Sources, document: &mut Document) {
    document.heading("Failure modes");
    match sources.evaluation(Fold::Select) {
        Ok(file) => {
            let c = &file.confusion;
            document.item(
                "Errors on select",
                format_args!(
                    "{} positives missed of {}, {} negatives flagged of {}; where they lie is in section 4",
                    c.false_negatives,
                    c.false_negatives + c.true_positives,
                    c.false_positives,
                    c.false_positives + c.true_negatives
                ),
            );
        }
        Err(why) => document.missing("Errors on select", &why),
    }
    let acceptance = &sources.config().acceptance;
    document.item(
        "Edge cases",
        format_args!(
            "files that hold no image, with a side below {} pixels, one side more than {} times the other, or less contrast than {} are \
             refused with a reason code before any score; what is unlike the known images is referred by the out-of-distribution score \
             (section 4)",
            acceptance.min_side_px, acceptance.max_aspect_ratio, acceptance.min_spread
        ),
    );
    match &sources.consistency {
        Ok(found) => document.item(
            "Originals against their small copies",
            format_args!(
                "{} pairs, mean absolute difference of the probability {:.4}, largest {:.4}, {} verdicts differ",
                found.n, found.mean_absolute_difference, found.largest_difference, found.n_flipped
            ),
        ),
        Err(why) => document.missing("Originals against their small copies", why),
    }
    if let Ok(Some(deep)) = sources.consistency.as_ref().map(|found| &found.deep) {
        document.item("Shallow data in deep files", deep);
    }
}

fn bias(sources: &Sources, document: &mut Document) {
    document.heading("Bias and spurious correlations");
    match sources.robustness.as_ref().map(|found| &found.probes) {
        Ok(Some(probes)) => {
            document.paragraph("What tells the classes apart without any lung, by logistic regression (cross-validated by patient):");
            document.table(
                ["what it sees", "figures", "AUC"],
                probes.classifiers.iter().map(|probe| {
                    let auc = probe.auc.as_ref().map(measured);
                    let why =
                        || format!("not measured: {}", probe.not_measured.as_deref().unwrap_or("unknown"));
                    [probe.name.clone(), probe.n_features.to_string(), auc.unwrap_or_else(why)]
                }),
            );
            document.paragraph(
                "What the network makes of changed images, against itself on the images as they are:",
            );
            document.table(
                ["change", "AUC", "change of the AUC", "verdicts that flip: negatives", "positives"],
                probes.changes.iter().map(|probe| {
                    [
                        probe.name.clone(),
                        measured(&probe.auc),
                        measured(&probe.auc_change),
                        measured(&probe.flips_negative),
                        measured(&probe.flips_positive),
                    ]
                }),
            );
        }
        Ok(None) => {
            document.missing("Shortcut probes", "`cxr-trainer robustness` was told to leave them out");
        }
        Err(why) => document.missing("Shortcut probes", why),
    }
    let groups = sources.groups();
    for name in named_groups::unnamed(&groups) {
        document.missing(&format!("By {name}"), "the data names it for no image of select and test");
    }
    if !groups.is_empty() {
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        document.item("By group, in section 4", groups.join(", "));
    }
    document.item("Resolution and aspect ratio", "under change in section 6");
}

fn safety(sources: &Sources, document: &mut Document) {
    document.heading("Safety");
    document.item("Intended use", &sources.config().export.intended_use.statement);
    document.item(
        "Validation requirements",
        "before use at a site: a labelled sample of its own images, the figures of section 4 on them, recalibration \
         (`cxr-trainer recalibrate`), and a threshold that its radiologists accept",
    );
    document.item(
        "Uncertainty",
        "calibrated probability, review band, prediction sets, out-of-distribution score (section 4)",
    );
    match sources.evaluation(Fold::Select) {
        Ok(file) => document.item(
            "What a radiologist reads",
            format_args!(
                "{} of select: called positive, in the review band or out of distribution",
                proportion(&file.details.read)
            ),
        ),
        Err(why) => document.missing("What a radiologist reads", &why),
    }
    document.item(
        "Human in the loop",
        "the service marks what is in the review band or out of distribution for review; that a radiologist confirms every positive is \
         for the site to see to",
    );
}
