//! The summary, section 9 and the conclusion: sentences whose figures and directions come from the measurements.

mod shaken;

use super::document::Document;
use super::sources::Sources;
use super::text::measured;
use crate::config::provenance::NOT_STATED;
use crate::data::folds::Fold;
use crate::fitness::{Fitness, RELEASED_ANYWAY};
use crate::measure::evaluate::{EvaluationFile, named_groups};
use cxr::bundle::Measured;

/// Where the interval of an external set's area under the curve begins below this, its images are named as ones to stay away from.
const USABLE_AUC: f64 = 0.7;

/// The first paragraph: what a reader who stops here must know.
pub(super) fn summary(sources: &Sources, document: &mut Document) {
    document.paragraph(format_args!("**{}**", verdict(sources)));
    if let Some(why) = sources.fitness.as_ref().ok().and_then(|fitness| fitness.released_although.as_ref()) {
        document.paragraph(format_args!("{RELEASED_ANYWAY}: {why}"));
    }
    document.paragraph(performance(sources));
    document.paragraph(
        "What was not measured says so, with the reason. In brackets are 95 % intervals, wherever resampling patients gives one.",
    );
}

/// Whether it is fit, and why not.
fn verdict(sources: &Sources) -> String {
    match &sources.fitness {
        Ok(fitness) => fitness.sentence(),
        Err(why) => format!("Not shown to be fit: {why}."),
    }
}

/// Two or three sentences about the figures on the test fold.
fn performance(sources: &Sources) -> String {
    match sources.evaluation(Fold::Test) {
        Ok(file) => {
            let f = &file.figures;
            let looks = sources.looks_at_these_weights();
            format!(
                "On the {} ({} images, {looks} on record for these weights) the network reaches AUC {}; at the operating point, which \
                 the calibrate fold chose, sensitivity {} and specificity {}. {}",
                sources.test_name(),
                f.auc.n,
                measured(&f.auc),
                measured(&f.sensitivity),
                measured(&f.specificity),
                shift(sources, file)
            )
        }
        Err(why) => format!("The {} was not measured: {why}.", sources.test_name()),
    }
}

/// How test differs from select.
fn shift(sources: &Sources, test: &EvaluationFile) -> String {
    let Ok(select) = sources.evaluation(Fold::Select) else {
        return "Select was not measured.".to_owned();
    };
    let (t, s) = (&test.figures, &select.figures);
    let figures = [
        ("AUC", &t.auc, &s.auc),
        ("sensitivity", &t.sensitivity, &s.sensitivity),
        ("specificity", &t.specificity, &s.specificity),
    ];
    let is_lower = |t: &Measured, s: &Measured| t.ci95[1] < s.ci95[0];
    let lower: Vec<&str> =
        figures.into_iter().filter(|(_, t, s)| is_lower(t, s)).map(|(name, ..)| name).collect();
    let on_select = format!(
        "On select it reaches AUC {}, sensitivity {}, specificity {}",
        measured(&s.auc),
        measured(&s.sensitivity),
        measured(&s.specificity)
    );
    if lower.is_empty() {
        format!(
            "{on_select}; on the test fold none of the three is clearly lower: no interval lies wholly below the one on select."
        )
    } else {
        format!(
            "{on_select}; on the test fold {} lower, with intervals that do not overlap. Another site may differ by more.",
            if lower.len() == 1 { format!("{} is", lower[0]) } else { format!("{} are", lower.join(", ")) }
        )
    }
}

/// Section 9.
pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("9. Findings");
    gates(sources, document);
    key_findings(sources, document);
    strengths(sources, document);
    limitations(sources, document);
    improvements(sources, document);
    document.heading("Deployment recommendations");
    document
        .item("Review", "a radiologist reads every positive and everything that the policy sends to review");
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
        "with each site's labels before its first use, and again when labelled images show a worse ECE",
    );
    document.item(
        "Monitoring",
        "of drift without pause; images above the out-of-distribution threshold are read by a person",
    );
}

fn gates(sources: &Sources, document: &mut Document) {
    document.heading("Verdict and gates");
    document.paragraph(verdict(sources));
    if let Ok(fitness) = &sources.fitness {
        document.table(Fitness::HEADER, fitness.rows());
        for (what, note) in fitness.notes() {
            document.item(what, note);
        }
    }
}

/// What would make the verdict firmer, as far as the measurements say it.
fn improvements(sources: &Sources, document: &mut Document) {
    document.heading("Future improvements");
    document.found(
        "Data",
        &sources.fitness.as_ref().map_err(Clone::clone).map(|fitness| {
            fitness.missing_data().unwrap_or_else(|| "the gates ask for no more images".to_owned())
        }),
    );
    let unnamed = named_groups::unnamed(&sources.groups());
    if !unnamed.is_empty() {
        document
            .item("Groups", format_args!("figures by {}, which the data does not name", unnamed.join(", ")));
    }
    document.found(
        "Maps",
        &sources
            .explanation
            .as_ref()
            .map_err(Clone::clone)
            .map(|explanation| format!("share of the evidence on the lungs: {}", explanation.lung_field)),
    );
    document.item(
        "Networks",
        match &sources.study {
            Ok(_) => "what the search of section 3 did not try",
            Err(_) => "no other configuration was compared in this report (`cxr-trainer tune`, then `report --study`)",
        },
    );
}

fn key_findings(sources: &Sources, document: &mut Document) {
    document.heading("Key findings");
    document.item("Performance", performance(sources));
    let robustness = || sources.robustness.as_ref().map_err(Clone::clone);
    document.found(
        "Images from elsewhere",
        &sources.external.as_ref().map_err(Clone::clone).map(|file| {
            format!(
                "{}: AUC {}; {} are above the out-of-distribution threshold",
                file.name,
                measured(&file.figures.auc),
                super::text::proportion(&file.details.out_of_distribution)
            )
        }),
    );
    document.found("Hardest corruption", &robustness().and_then(shaken::hardest));
    document.found("Operating point under corruption", &robustness().and_then(shaken::moved));
    document.found("Shortcuts", &robustness().and_then(shaken::shortcuts));
    document.found(
        "Calibration",
        &sources.evaluation(Fold::Test).map(|file| {
            let c = &file.details.calibration;
            let at = |figure: &Option<Measured>| super::text::optional(figure.as_ref());
            format!(
                "ECE on the test fold {} before, {} after calibration, {} with a prior shift correction",
                at(&c.ece_before),
                at(&c.ece_after),
                at(&c.ece_prior_shift)
            )
        }),
    );
}

fn strengths(sources: &Sources, document: &mut Document) {
    document.heading("Strengths");
    document.found(
        "Division",
        &sources.split.as_ref().map_err(Clone::clone).map(|split| {
            format!(
                "checked: {} patients, {} exact and {} near duplicates in two folds",
                split.leakage.patients.len(),
                split.leakage.exact.len(),
                split.leakage.near.len()
            )
        }),
    );
    document.found(
        "Maps",
        &sources.explanation.as_ref().map_err(Clone::clone).and_then(|explanation| {
            let agreement = explanation.agreement.as_ref().ok_or("`cxr-trainer explain` was interrupted")?;
            Ok(format!("the exported graph's map is Grad-CAM, on {} images", agreement.n))
        }),
    );
    document.item(
        "Looks",
        format_args!(
            "{} on record in the ledger; {} with these weights",
            sources.looks.len(),
            sources.looks_at_these_weights()
        ),
    );
}

fn limitations(sources: &Sources, document: &mut Document) {
    document.heading("Limitations");
    let unnamed = named_groups::unnamed(&sources.groups());
    document.item(
        "Data",
        format_args!(
            "one dataset ({}); {}",
            sources.config().data.name.trim(),
            if unnamed.is_empty() {
                "its groups are in section 4".to_owned()
            } else {
                format!("it names {} for no image of select and test", unnamed.join(", "))
            }
        ),
    );
    document.item(
        "Folds",
        if sources.census.test_is_drawn {
            "all folds come from one pool, so no figure on them speaks of another site"
        } else {
            "select and calibrate were drawn beside train, so thresholds and probabilities fit images like those"
        },
    );
    let stated = &sources.config().provenance.limitations;
    if stated.is_empty() {
        document.item("Stated by a person", NOT_STATED);
    }
    for limitation in stated {
        document.item("Stated by a person", limitation.trim());
    }
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
}

/// The verdict, where it must not be used, and what is open.
pub(super) fn conclusion(sources: &Sources) -> String {
    let elsewhere = sources.external.as_ref().ok().filter(|file| file.figures.auc.ci95[0] < USABLE_AUC);
    let elsewhere = elsewhere.map_or_else(String::new, |file| {
        format!(
            "It must not be used on images like those of {}: there it reaches AUC {}, with an interval that begins below {USABLE_AUC}, \
             and its out-of-distribution score marks {}. ",
            file.name.trim(),
            measured(&file.figures.auc),
            super::text::proportion(&file.details.out_of_distribution)
        )
    });
    let released = sources.fitness.as_ref().ok().and_then(|fitness| fitness.released_although.as_ref());
    let released = released.map_or_else(String::new, |why| format!("{RELEASED_ANYWAY}: {why}. "));
    format!(
        "{} {released}{elsewhere}It is no autonomous diagnosis: a radiologist decides. What is marked as not measured is open; no \
         radiologist's reading of its maps is part of this report, and the service around it is measured apart.",
        verdict(sources)
    )
}
