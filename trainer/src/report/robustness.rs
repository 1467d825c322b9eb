//! Section 6: shift, degradation, mitigation.

use super::document::Document;
use super::sources::Sources;
use super::text::{counts, measured};
use crate::robustness::Robustness;
use crate::robustness::corruptions::CorruptionSuite;
use anyhow::Result;
use cxr::corrupt::Corruption;

pub(super) fn write(sources: &Sources, document: &mut Document) -> Result<()> {
    document.section("6. Robustness");
    document.item(
        "Out-of-distribution test set",
        "images from another hospital and age group, and images that are no radiograph: section 4",
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
    document.paragraph(format_args!(
        "{} images of {}, as they are: {}.",
        found.n,
        found.fold.name(),
        found.clean
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
        ["corruption", "AUC by severity", "sensitivity", "specificity"],
        Corruption::ALL.into_iter().filter_map(|corruption| row(suite, corruption)),
    );
    document.figure(&sources.figure("robustness-auc.svg"), "AUC against severity, with 95 % intervals");
}

fn row(suite: &CorruptionSuite, corruption: Corruption) -> Option<[String; 4]> {
    let results: Vec<_> = suite.results.iter().filter(|result| result.corruption == corruption).collect();
    let cells = |get: fn(&crate::robustness::figures::Figures) -> f64| {
        let values = results.iter().map(|result| format!("{}: {:.3}", result.severity, get(&result.figures)));
        values.collect::<Vec<_>>().join(", ")
    };
    (!results.is_empty()).then(|| {
        [
            super::text::key(&corruption),
            cells(|f| f.auc.value),
            cells(|f| f.sensitivity.value),
            cells(|f| f.specificity.value),
        ]
    })
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
                "Drift reference: distribution of the probability and of image statistics on calibrate",
                super::plots::reference(reference)?,
            );
        }
        Err(why) => document.missing("Reference", why),
    }
    Ok(())
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
