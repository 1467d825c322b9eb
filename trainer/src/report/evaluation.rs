//! Section 4: figures with intervals, calibration, errors, operating point.

use super::document::Document;
use super::sources::Sources;
use super::text::{measured, measured_n, optional, proportion};
use crate::data::folds::Fold;
use crate::measure::evaluate::EvaluationFile;
use crate::measure::evaluate::details::Details;
use crate::measure::evaluate::subgroups::Subgroup;
use crate::measure::sample_size::wider;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::bundle::{FoldEvaluation, Measured};

pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("4. Evaluation");
    document.paragraph(format_args!(
        "Intervals hold 95 %: bootstrap over patients, {} resamples, unless another method is named. Epoch, calibration and thresholds were chosen on select and calibrate; the figures of calibrate are optimistic, because it fitted probability and operating point. {}",
        sources.config().evaluation.resamples,
        crate::measure::evaluate::ECE_NOTE
    ));
    figures(sources, document);
    per_class(sources, document);
    confusion(sources, document);
    super::calibration::write(sources, document);
    subgroups(sources, document);
    external(sources, document);
    resplit(sources, document);
    looks(sources, document);
}

fn title(sources: &Sources, fold: Fold) -> String {
    match fold {
        Fold::Test => sources.test_name().to_owned(),
        other => other.name().to_owned(),
    }
}

/// The evaluated folds, or one line under a heading that would have nothing to show.
pub(super) fn evaluated_or_missing<'a>(
    sources: &'a Sources,
    document: &mut Document,
    label: &str,
) -> Vec<&'a EvaluationFile> {
    let files = evaluated(sources);
    for (fold, found) in &sources.evaluations {
        if let Err(why) = found {
            document.missing(&format!("{label}, {}", title(sources, *fold)), why);
        }
    }
    files
}

/// Every fold that was evaluated, the test split first.
pub(super) fn evaluated<'a>(sources: &'a Sources) -> Vec<&'a EvaluationFile> {
    let folds = [Fold::Test, Fold::Select, Fold::Calibrate];
    folds.into_iter().filter_map(|fold| sources.evaluation(fold).ok()).collect()
}

/// A figure of an evaluation, if the images allow it.
type Get = fn(&EvaluationFile) -> Option<Measured>;

fn figures(sources: &Sources, document: &mut Document) {
    document.heading("Figures at the operating point");
    let files = evaluated_or_missing(sources, document, "Figures");
    if files.is_empty() {
        return;
    }
    let header = |at: usize| files.get(at).map_or("-".to_owned(), |file| title(sources, file.fold));
    let headers = [header(0), header(1), header(2)];
    let rows: [(&str, Get); 13] = [
        ("AUC-ROC", |f| Some(f.figures.auc)),
        ("AUC-ROC, DeLong's interval", |f| f.details.auc_delong),
        ("average precision", |f| f.details.average_precision),
        ("sensitivity (recall)", |f| Some(f.figures.sensitivity)),
        ("specificity", |f| Some(f.figures.specificity)),
        ("precision", |f| Some(f.figures.precision)),
        ("F1", |f| Some(f.figures.f1)),
        ("accuracy", |f| Some(f.figures.accuracy)),
        ("balanced accuracy", |f| f.details.balanced_accuracy),
        ("Matthews correlation", |f| f.details.mcc),
        ("ECE", |f| Some(f.figures.ece)),
        ("Brier", |f| Some(f.figures.brier)),
        ("log loss", |f| f.details.calibration.log_loss_after),
    ];
    document.table(
        ["figure", &headers[0], &headers[1], &headers[2]],
        rows.map(|(name, get)| {
            let cell = |at: usize| files.get(at).map_or("-".to_owned(), |file| optional(get(file).as_ref()));
            [name.to_owned(), cell(0), cell(1), cell(2)]
        }),
    );
    for file in &files {
        let name = file.fold.name();
        document.figure(
            &sources.figure(&format!("roc-pr-{name}.svg")),
            &format!("ROC and precision-recall, {name}"),
        );
    }
}

fn per_class(sources: &Sources, document: &mut Document) {
    document.heading("By class");
    let files = evaluated_or_missing(sources, document, "By class");
    if files.is_empty() {
        return;
    }
    document.table(
        ["fold", "class", "precision", "recall", "F1"],
        files.into_iter().flat_map(|file| {
            [("negative", &file.details.normal), ("positive", &file.details.pneumonia)].map(
                |(class, figures)| {
                    [
                        file.fold.name().to_owned(),
                        class.to_owned(),
                        optional(figures.precision.as_ref()),
                        optional(figures.recall.as_ref()),
                        optional(figures.f1.as_ref()),
                    ]
                },
            )
        }),
    );
}

fn matrix(name: &str, m: &ConfusionMatrix) -> [String; 5] {
    [
        name.to_owned(),
        m.true_positives.to_string(),
        m.false_negatives.to_string(),
        m.false_positives.to_string(),
        m.true_negatives.to_string(),
    ]
}

fn confusion(sources: &Sources, document: &mut Document) {
    document.heading("Confusion matrix");
    let files = evaluated_or_missing(sources, document, "Confusion matrix");
    if files.is_empty() {
        return;
    }
    document.table(
        ["fold", "true positives", "false negatives", "false positives", "true negatives"],
        files.iter().map(|file| matrix(file.fold.name(), &file.confusion)),
    );
    for file in files {
        let name = file.fold.name();
        let drawn = super::plots::confusion(name, &file.confusion);
        document.drawing(&format!("confusion-{name}.svg"), &format!("Confusion matrix, {name}"), drawn);
        document.figure(
            &sources.figure(&format!("worst-{name}.png")),
            &format!(
                "The worst cases, {name}: positives with the lowest probability, then negatives with the highest"
            ),
        );
    }
    for file in evaluated(sources).into_iter().filter(|file| file.fold != Fold::Calibrate) {
        let label = format!("Patterns of the errors, {}", file.fold.name());
        document.item(&label, patterns(&file.details.subgroups));
    }
}

/// The groups with the most misses and the most false alarms, among those large enough to say something.
fn patterns(groups: &[Subgroup]) -> String {
    const LARGE: usize = 20;
    let worst = |get: fn(&Subgroup) -> Option<Measured>| {
        let of = |group: &&Subgroup| get(group).filter(|figure| figure.n >= LARGE).map(|figure| figure.value);
        let large = groups.iter().filter(|group| of(group).is_some());
        large.min_by(|a, b| of(a).unwrap_or(1.0).total_cmp(&of(b).unwrap_or(1.0)))
    };
    let text = |what: &str, group: Option<&Subgroup>, get: fn(&Subgroup) -> Option<Measured>| match group {
        Some(group) => {
            // A group is small: resampling alone can give an interval without width.
            let found = get(group).map(|figure| wider(&figure, figure.n));
            let found = found.map_or_else(
                || optional(None),
                |(figure, method)| format!("{}, {method}", measured(&figure)),
            );
            format!("{what} in {} {} ({found})", group.property, group.group)
        }
        None => format!("no group of {LARGE} images to say where {what} lies"),
    };
    let (missed, alarmed) = (worst(|g| g.sensitivity), worst(|g| g.specificity));
    format!(
        "{}; {}",
        text("lowest sensitivity", missed, |g| g.sensitivity),
        text("lowest specificity", alarmed, |g| g.specificity)
    )
}

fn subgroups(sources: &Sources, document: &mut Document) {
    document.heading("Subgroups");
    for file in evaluated(sources) {
        if file.fold != Fold::Calibrate {
            subgroup_table(&title(sources, file.fold), &file.details, document);
        }
    }
}

fn subgroup_table(name: &str, details: &Details, document: &mut Document) {
    document.table(
        [name, "group", "n", "positives", "AUC", "sensitivity", "specificity"],
        details.subgroups.iter().map(|group| {
            let cell = |figure: &Option<Measured>| figure.as_ref().map_or("-".to_owned(), measured);
            [
                group.property.clone(),
                group.group.clone(),
                group.n.to_string(),
                group.n_positive.to_string(),
                cell(&group.auc),
                cell(&group.sensitivity),
                cell(&group.specificity),
            ]
        }),
    );
}

fn short(figures: &FoldEvaluation) -> String {
    format!(
        "AUC {}; sensitivity {}; specificity {}; ECE {}",
        measured_n(&figures.auc),
        measured(&figures.sensitivity),
        measured(&figures.specificity),
        measured(&figures.ece)
    )
}

fn external(sources: &Sources, document: &mut Document) {
    document.heading("Images from elsewhere");
    match &sources.external {
        Ok(file) => {
            document.item("Set", format_args!("{}: {}", file.name, super::text::counts(&file.images)));
            document.item("To know", &file.note);
            document.item("Refused at the door", file.refused.len());
            document.item("Figures at the same operating point", short(&file.figures));
            document.item(
                "ECE",
                format_args!(
                    "{} before, {} after calibration, {} with a prior shift correction",
                    optional(file.details.calibration.ece_before.as_ref()),
                    optional(file.details.calibration.ece_after.as_ref()),
                    optional(file.details.calibration.ece_prior_shift.as_ref())
                ),
            );
            document.table(
                ["set", "true positives", "false negatives", "false positives", "true negatives"],
                [matrix("external", &file.confusion)],
            );
            if let Some(other) = &file.other {
                document.item(
                    "Other findings (neither class)",
                    format_args!(
                        "called positive {}, out of distribution {}",
                        proportion(&other.flagged),
                        proportion(&other.out_of_distribution)
                    ),
                );
            }
            subgroup_table("external", &file.details, document);
            document.figure(
                &sources.figure("roc-pr-external.svg"),
                "ROC and precision-recall, images from elsewhere",
            );
        }
        Err(why) => document.missing("External set", why),
    }
}

fn resplit(sources: &Sources, document: &mut Document) {
    document.heading("A re-split by patient, for comparison with the literature");
    match &sources.resplit {
        Ok(resplit) => {
            document.paragraph(
                "Many publications pool the published splits and draw their own test images. Another network was trained and evaluated \
                 so; its test images are a random part of the same pool, by patient.",
            );
            document.item(
                "Test fold",
                super::text::counts(
                    resplit
                        .split
                        .counts
                        .get(&Fold::Test)
                        .into_iter()
                        .flatten()
                        .map(|(class, count)| (class, count.images)),
                ),
            );
            document.item("Figures", short(&resplit.test.figures));
        }
        Err(why) => document.missing("Re-split", why),
    }
}

fn looks(sources: &Sources, document: &mut Document) {
    document.heading("Every look at the test fold");
    if sources.looks.is_empty() {
        return document.item("Looks", "none on record");
    }
    let weights = &sources.trained.weights_sha256;
    document.table(
        ["time", "what", "these weights", "command", "AUC", "why"],
        sources.looks.iter().map(|look| {
            [
                look.time.clone(),
                look.run.clone(),
                if look.weights_sha256 == *weights { "yes" } else { "no" }.to_owned(),
                look.command.clone(),
                format!("{:.4}", look.auc),
                look.reason.clone(),
            ]
        }),
    );
}
