//! Section 4, second part: probabilities, operating point, prediction sets, out-of-distribution score.

use super::document::Document;
use super::evaluation::{evaluated, evaluated_or_missing};
use super::sources::Sources;
use super::text::{measured, optional, optional_proportion, proportion};
use crate::measure::evaluate::details::Details;
use cxr::bundle::Measured;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    calibration(sources, document);
    operating_point(sources, document);
    prediction_sets(sources, document);
}

fn calibration(sources: &Sources, document: &mut Document) {
    document.heading("Calibration");
    match &sources.calibrated {
        Ok(calibrated) => {
            document.item(
                "In use",
                format_args!(
                    "affine (Platt 1999), sigmoid({:.4} x logit {:+.4}), fitted on calibrate",
                    calibrated.calibration.scale, calibrated.calibration.bias
                ),
            );
            match &calibrated.analysis {
                Some(analysis) => {
                    document.table(
                        ["method", "ECE, select", "log loss, select", "ECE, cross-validated on calibrate"],
                        analysis.methods.iter().map(|judged| {
                            [
                                super::text::key(&judged.method),
                                measured(&judged.select.ece),
                                measured(&judged.select.log_loss),
                                optional(judged.cross_validated.as_ref().map(|figures| &figures.ece)),
                            ]
                        }),
                    );
                }
                None => document.missing("Comparison of methods", "the calibration was read from a bundle"),
            }
        }
        Err(why) => document.missing("Calibration", why),
    }
    let ece = |figure: &Option<Measured>| optional(figure.as_ref());
    let files = evaluated_or_missing(sources, document, "ECE");
    if files.is_empty() {
        return;
    }
    document.table(
        [
            "fold",
            "ECE before",
            "ECE after",
            "ECE with prior shift correction",
            "share of positives: trained / estimated / true",
        ],
        files.into_iter().map(|file| {
            let c = &file.details.calibration;
            let estimated = c.estimated_prior.map_or("none".to_owned(), |prior| format!("{prior:.3}"));
            [
                file.fold.name().to_owned(),
                ece(&c.ece_before),
                ece(&c.ece_after),
                ece(&c.ece_prior_shift),
                format!("{:.3} / {estimated} / {:.3}", c.trained_prior, c.true_prior),
            ]
        }),
    );
    document.paragraph(
        "The prior shift correction estimates the share of positives from unlabelled scores (Saerens et al. 2002) and is not in use: \
         it assumes that the images of each class look as they did before.",
    );
    for file in evaluated(sources) {
        let name = file.fold.name();
        document.figure(
            &sources.figure(&format!("reliability-{name}.svg")),
            &format!("Reliability before and after calibration, {name}; the numbers are images of the bin"),
        );
        document.figure(
            &sources.figure(&format!("probabilities-{name}.svg")),
            &format!("Calibrated probability by class, {name}"),
        );
    }
}

fn operating_point(sources: &Sources, document: &mut Document) {
    document.heading("Operating point");
    let calibrated = match &sources.calibrated {
        Ok(calibrated) => calibrated,
        Err(why) => return document.missing("Operating point", why),
    };
    let policy = &calibrated.policy;
    document.item(
        "In use",
        format_args!(
            "probability {:.4}, the highest with sensitivity {} on {} (there sensitivity {:.4}, specificity {:.4}, n {})",
            policy.threshold,
            policy.chosen.target_sensitivity,
            policy.chosen.fold,
            policy.chosen.sensitivity,
            policy.chosen.specificity,
            policy.chosen.n
        ),
    );
    document.item(
        "Review band",
        format_args!(
            "{:.4} to {:.4}: a radiologist decides",
            policy.review_band.low, policy.review_band.high
        ),
    );
    if let Some(analysis) = &calibrated.analysis {
        document.table(
            [
                "rule",
                "threshold",
                "95 % of resamples",
                "sensitivity, select",
                "specificity, select",
                "sensitivity, cross-validated",
            ],
            analysis.rules.iter().map(|judged| {
                let [low, high] = judged.threshold_ci95;
                [
                    super::text::key(&judged.rule),
                    format!("{:.4}", judged.threshold),
                    format!("{low:.4} to {high:.4}"),
                    measured(&judged.select.sensitivity),
                    measured(&judged.select.specificity),
                    measured(&judged.cross_validated.sensitivity),
                ]
            }),
        );
    }
    for file in evaluated(sources) {
        let at = file.details.youden.as_ref();
        let label = format!("Youden's index, {}", file.fold.name());
        match at {
            Some(youden) => document.item(
                &label,
                format_args!(
                    "{:.4} at the operating point; {:.4} at {:.4}, the best threshold of these very images (sensitivity {:.4}, specificity {:.4}; \
                     never one to use)",
                    youden.j_at_operating_point,
                    youden.sensitivity + youden.specificity - 1.0,
                    youden.threshold,
                    youden.sensitivity,
                    youden.specificity
                ),
            ),
            None => document.missing(&label, "the fold holds one class"),
        }
    }
}

fn prediction_sets(sources: &Sources, document: &mut Document) {
    document.heading("Prediction sets and out-of-distribution score");
    document.paragraph(
        "Split-conformal sets by class (Mondrian), fitted on calibrate. In distribution each class is covered with 1 - alpha; nothing is \
         promised under shift, on the test split and on images from elsewhere.",
    );
    let sets: Vec<(String, &Details)> = evaluated(sources)
        .into_iter()
        .map(|file| (file.fold.name().to_owned(), &file.details))
        .chain(sources.external.iter().map(|file| ("external".to_owned(), &file.details)))
        .collect();
    if sets.is_empty() {
        document.missing("Coverage", "nothing was evaluated");
    }
    document.table(
        ["images", "alpha", "negatives covered", "positives covered", "one label", "both", "none"],
        sets.iter().flat_map(|(name, details)| {
            details.conformal.iter().map(move |sets| {
                [
                    name.clone(),
                    sets.alpha.to_string(),
                    optional(sets.normal.as_ref()),
                    optional(sets.pneumonia.as_ref()),
                    proportion(&sets.single),
                    proportion(&sets.both),
                    proportion(&sets.empty),
                ]
            })
        }),
    );
    document.table(
        [
            "images",
            "referred: above the out-of-distribution threshold",
            "sensitivity of the others",
            "specificity of the others",
            "in the review band or out of distribution",
            "read by a radiologist in all",
        ],
        sets.iter().map(|(name, details)| {
            [
                name.clone(),
                proportion(&details.out_of_distribution),
                optional(details.answered.as_ref().and_then(|answered| answered.sensitivity.as_ref())),
                optional(details.answered.as_ref().and_then(|answered| answered.specificity.as_ref())),
                proportion(&details.review),
                proportion(&details.read),
            ]
        }),
    );
    match sources.calibrated.as_ref().map(|calibrated| &calibrated.analysis) {
        Ok(Some(analysis)) => {
            let ood = &analysis.ood;
            document.table(
                [
                    "score",
                    "threshold",
                    "false positives, select",
                    "foreign images, score chosen on",
                    "foreign images, held out",
                ],
                ood.candidates.iter().map(|candidate| {
                    [
                        format!(
                            "{}{}",
                            super::text::key(&candidate.score),
                            if candidate.score == ood.score { " (in use)" } else { "" }
                        ),
                        format!("{:.3}", candidate.threshold),
                        proportion(&candidate.select),
                        optional_proportion(candidate.development.as_ref()),
                        optional_proportion(candidate.held_out.as_ref()),
                    ]
                }),
            );
            match &ood.foreign {
                Some(foreign) => document.item(
                    "Images that are no chest radiographs",
                    format_args!(
                        "{}: refused at the door ({}) or referred",
                        proportion(&foreign.caught),
                        foreign.refused
                    ),
                ),
                None => document.missing(
                    "Images that are no chest radiographs",
                    "no folder of them is configured or found",
                ),
            }
        }
        Ok(None) => document.missing("Out-of-distribution score", "the calibration was read from a bundle"),
        Err(why) => document.missing("Out-of-distribution score", why),
    }
}
