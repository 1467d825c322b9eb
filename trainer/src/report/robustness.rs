//! Section 6: shift, degradation, mitigation.

use super::document::Document;
use super::sources::Sources;
use super::text::{counts, measured};
use crate::measure::robustness::Robustness;
use anyhow::Result;
use cxr::analysis::drift::{kolmogorov_smirnov, stability_index};
use cxr::reference::Quantiles;
use std::path::Path;

pub(super) fn write(sources: &Sources, document: &mut Document) -> Result<()> {
    document.section("6. Robustness");
    document.found(
        "Out-of-distribution test set",
        &sources
            .external
            .as_ref()
            .map_err(Clone::clone)
            .map(|file| format!("{}: {}; its figures are in section 4", file.name, counts(&file.images))),
    );
    match &sources.robustness {
        Ok(found) => degradation(sources, found, document),
        Err(why) => document.missing("Degradation", why),
    }
    drift(sources, document)?;
    mitigation(sources, document);
    Ok(())
}

fn degradation(sources: &Sources, found: &Robustness, document: &mut Document) {
    document.heading("Degradation");
    let clean = &found.clean;
    document.paragraph(format_args!(
        "{} images of {}, as they are: AUC {}, log loss {}, sensitivity {}, specificity {}.",
        found.n,
        found.fold.name(),
        measured(&clean.auc),
        measured(&clean.log_loss),
        measured(&clean.sensitivity),
        measured(&clean.specificity)
    ));
    let Some(suite) = &found.corruptions else {
        return document.missing("Corruptions", "`cxr-trainer robustness` was told to leave them out");
    };
    document.item(
        "Mean over all corruptions and severities",
        format_args!("AUC {}, log loss {}", measured(&suite.mean_auc), measured(&suite.mean_log_loss)),
    );
    document.item(
        "Mean AUC by severity",
        counts(
            suite
                .severities
                .iter()
                .map(|s| format!("severity {s}:"))
                .zip(suite.mean_auc_by_severity.iter().map(measured)),
        ),
    );
    document.table(
        ["corruption", "severity", "AUC", "sensitivity", "specificity"],
        suite.results.iter().map(|result| {
            [
                super::text::key(&result.corruption),
                result.severity.to_string(),
                measured(&result.figures.auc),
                measured(&result.figures.sensitivity),
                measured(&result.figures.specificity),
            ]
        }),
    );
    document.figure(&sources.figure("robustness-auc.svg"), "AUC against severity, with 95 % intervals");
}

fn drift(sources: &Sources, document: &mut Document) -> Result<()> {
    document.heading("Shift metrics");
    match &sources.calibrated {
        Ok(calibrated) => {
            let reference = &calibrated.reference;
            document.item(
                "Reference",
                format_args!(
                    "{} images of {}: quantiles of the probability and of {} image statistics ({}), embedding with {} principal components",
                    reference.n,
                    reference.fold,
                    reference.statistics.len(),
                    reference.statistics.keys().cloned().collect::<Vec<_>>().join(", "),
                    reference.embedding.components.len()
                ),
            );
            document.drawing(
                "drift-reference.svg",
                "Drift reference on calibrate: distribution of the probability and of every image statistic",
                super::plots::reference(reference)?,
            );
        }
        Err(why) => document.missing("Reference", why),
    }
    shift(sources, document);
    Ok(())
}

/// How far the scores of every set are from those of calibrate.
fn shift(sources: &Sources, document: &mut Document) {
    let of = |name: &str| scores(&sources.trained.run.file(&format!("scores-{name}.csv")));
    let Some(calibrate) = of("calibrate") else {
        return document
            .missing("Shift against calibrate", "`cxr-trainer evaluate --fold calibrate` has not been run");
    };
    let sets = ["select", "test", "external"].into_iter().filter_map(|name| Some((name, of(name)?)));
    document.paragraph(
        "Distance of scores from those of calibrate: Kolmogorov-Smirnov statistic (0 to 1) and population stability index (0.25 is \
         commonly read as a large shift). Another share of positives moves the probability too.",
    );
    document.table(
        ["images", "n", "probability: KS", "PSI", "out-of-distribution score: KS", "PSI"],
        sets.map(|(name, found)| {
            let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
            let psi = |reference: &[f64], sample: &[f64]| stability_index(&Quantiles::of(reference)?, sample);
            [
                name.to_owned(),
                found.probability.len().to_string(),
                cell(kolmogorov_smirnov(&calibrate.probability, &found.probability)),
                cell(psi(&calibrate.probability, &found.probability)),
                cell(kolmogorov_smirnov(&calibrate.ood, &found.ood)),
                cell(psi(&calibrate.ood, &found.ood)),
            ]
        }),
    );
}

/// Columns of a table of scores.
struct Columns {
    probability: Vec<f64>,
    ood: Vec<f64>,
}

fn scores(file: &Path) -> Option<Columns> {
    let text = std::fs::read_to_string(file).ok()?;
    let header: Vec<&str> = text.lines().next()?.split(',').collect();
    // Fields are counted from the end: a path may hold a comma.
    let column = |name: &str| {
        let from_end = header.len() - header.iter().position(|field| *field == name)?;
        text.lines()
            .skip(1)
            .map(|line| line.rsplit(',').nth(from_end - 1)?.parse().ok())
            .collect::<Option<Vec<f64>>>()
    };
    Some(Columns { probability: column("probability")?, ood: column("ood_score")? })
}

fn mitigation(sources: &Sources, document: &mut Document) {
    document.heading("Mitigation");
    match sources.robustness.as_ref().map(|found| &found.mitigations) {
        Ok(Some(mitigations)) => document.table(
            ["test-time mitigation", "images as they are: change of AUC", "mean change over the corruptions"],
            mitigations.iter().map(|mitigation| {
                let clean = mitigation.results.iter().find(|result| result.corruption.is_none());
                let why =
                    || format!("not measured: {}", mitigation.not_measured.as_deref().unwrap_or("left out"));
                [
                    super::text::key(&mitigation.method),
                    clean.map_or_else(why, |result| measured(&result.auc_change)),
                    mitigation.mean_auc_change.as_ref().map_or_else(why, measured),
                ]
            }),
        ),
        Ok(None) => {
            document.missing("Test-time mitigations", "`cxr-trainer robustness` was told to leave them out");
        }
        Err(why) => document.missing("Test-time mitigations", why),
    }
    match &sources.ablation {
        Ok(runs) => {
            document.paragraph("Training-time mitigation: the same measurement on other runs, with what they were trained with.");
            document.table(
                [
                    "network",
                    "differs in",
                    "AUC, select",
                    "mean AUC, corruptions",
                    "mean log loss, corruptions",
                ],
                runs.iter().map(|run| {
                    let optional = |figure: Option<&cxr::bundle::Measured>| {
                        figure.map_or("not measured".to_owned(), measured)
                    };
                    [
                        run.subject.clone(),
                        counts(run.differences.iter().map(|(key, value)| (format!("`{key}`"), value))),
                        measured(&run.clean_auc),
                        optional(run.corrupted_auc.as_ref()),
                        optional(run.corrupted_log_loss.as_ref()),
                    ]
                }),
            );
        }
        Err(why) => document.missing("Augmentation ablation", why),
    }
}
