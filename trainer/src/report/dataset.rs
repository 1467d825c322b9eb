//! Section 1: the data and what was found in it.

use super::document::Document;
use super::sources::Sources;
use super::text::{counts, range};
use crate::data::count::{Count, CountTable};
use crate::data::eda::Eda;
use crate::data::eda::examined::Examined;
use crate::data::entry::OfficialSplit;
use crate::data::folds::Fold;
use crate::data::screening::confounders::{Confounder, OneClass};
use crate::data::split::Split;
use std::collections::BTreeMap;

pub(super) fn write(sources: &Sources, document: &mut Document) {
    document.section("1. Dataset and exploratory analysis");
    document.item("Name", &sources.config().data.name);
    let n_images: usize = sources.trained.folds.folds.values().map(Vec::len).sum();
    let unreadable = &sources.trained.folds.unreadable;
    document.item("Total samples", format_args!("{n_images} usable images, {} unusable", unreadable.len()));
    document.item(
        "Classes",
        counts(sources.config().data.classes.iter().map(|(name, label)| (name, super::text::key(label)))),
    );
    document.item("Patients", sources.trained.index.patients.statement());
    document.item("Digest of the data", format_args!("`{}`", sources.trained.folds.dataset_sha256));
    distribution(sources, document);
    match &sources.eda {
        Ok(eda) => examined(eda, document),
        Err(why) => {
            for label in ["Image properties", "Quality", "Statistics"] {
                document.missing(label, why);
            }
        }
    }
    for (name, caption) in [
        ("eda-counts.svg", "Images by class, and by published split where the data has one"),
        ("eda-sizes.svg", "Sizes and aspect ratios by class"),
        ("eda-intensity.svg", "Intensity statistics by class"),
        ("eda-texture.svg", "Edge and texture statistics by class"),
        ("eda-label-noise.svg", "Cross-validated probability of each image's own label"),
    ] {
        document.figure(&sources.figure(name), caption);
    }
    for (name, caption) in [
        ("eda-marks.png", "Images with letter-like marks, evenly over the dataset, with their class"),
        (
            "eda-suspects.png",
            "Labels that the scores contradict, the worst first, each with its label and that label's cross-validated probability",
        ),
    ] {
        if sources.figure(name).exists() {
            document.figure(&sources.figure(name), caption);
        }
    }
}

fn distribution(sources: &Sources, document: &mut Document) {
    document.heading("Distribution");
    let parts = sources.eda.as_ref().map(|eda| &eda.images.counts);
    let is_flat = parts.is_ok_and(|parts| parts.keys().all(|part| part == OfficialSplit::None.name()));
    let test_is_drawn = sources.split.as_ref().is_ok_and(|split| split.test_is_drawn);
    document.paragraph(match (is_flat, test_is_drawn) {
        (true, _) => "The data has no split of its own: all images were divided by patient.",
        (false, true) => "As published, and the folds: all images were pooled and divided by patient.",
        (false, false) => {
            "As published, and the folds: train and val were pooled and divided by patient, the test split stays what it is."
        }
    });
    match parts {
        Ok(counts) if is_flat => table(document, "data set", counts, |_| "all".to_owned()),
        Ok(counts) => table(document, "published", counts, String::clone),
        Err(why) => document.missing("The data as found", why),
    }
    match &sources.split {
        Ok(split) => table(document, "fold", &split.counts, |fold: &Fold| fold.name().to_owned()),
        Err(why) => document.missing("Folds", why),
    }
    if let Ok(split) = &sources.split {
        strata(split, document);
        document.item("Class folders that the configuration excludes", counts(&split.excluded));
        document.item("Passed over beside the class folders", split.passed_over.len());
    }
}

/// What the table says of the images in each fold.
fn strata(split: &Split, document: &mut Document) {
    if split.columns.is_empty() {
        return;
    }
    document.paragraph(
        "Columns of the table, by which the folds are stratified as far as there are enough patients:",
    );
    let rows = split.columns.iter().flat_map(|(column, groups)| {
        groups.iter().map(|(group, folds)| {
            let folds = folds.iter().map(|(fold, n)| (fold.name(), n));
            [column.clone(), group.clone(), counts(folds)]
        })
    });
    document.table(["column", "group", "images by fold"], rows);
}

fn table<K: Ord>(document: &mut Document, title: &str, table: &CountTable<K>, name: impl Fn(&K) -> String) {
    let rows = table.iter().flat_map(|(part, classes)| {
        classes
            .iter()
            .map(|(class, Count { images, patients })| (name(part), class.clone(), *images, *patients))
            .collect::<Vec<_>>()
    });
    document.table(
        [title, "class", "images", "patients"],
        rows.map(|(part, class, images, patients)| [part, class, images.to_string(), patients.to_string()]),
    );
}

fn examined(eda: &Eda, document: &mut Document) {
    document.heading("Image properties");
    properties("The images", &eda.images, document);
    match &eda.originals {
        Some(originals) => properties("Untouched originals of some of them", originals, document),
        None => document.missing("Originals", "no folder of them is configured or found"),
    }
    quality(eda, document);
    statistics(eda, document);
}

fn properties(title: &str, examined: &Examined, document: &mut Document) {
    document.paragraph(format_args!("{title}, n {}:", examined.n));
    document.table(
        ["class", "width, px", "height, px", "aspect ratio", "colour modes", "formats", "bytes a file"],
        examined.properties.iter().map(|(class, found)| {
            [
                class.clone(),
                range(&found.width, 0),
                range(&found.height, 0),
                range(&found.aspect_ratio, 2),
                counts(&found.colours),
                counts(&found.formats),
                range(&found.bytes, 0),
            ]
        }),
    );
}

fn quality(eda: &Eda, document: &mut Document) {
    document.heading("Quality");
    let copies: usize = eda.duplicates.exact.iter().map(|group| group.len() - 1).sum();
    let (duplicates, leakage) = (&eda.duplicates, &eda.leakage);
    document.item(
        "Exact duplicates (SHA-256)",
        format_args!(
            "{} groups with {copies} superfluous files; {} groups cross the published splits",
            duplicates.exact.len(),
            leakage.exact.len()
        ),
    );
    document.item(
        "Near duplicates (perceptual hash, then correlation of fine detail)",
        format_args!(
            "{} pairs, {} across the published splits; {} pairs compared, the closest that is none correlates {}",
            duplicates.near.len(),
            leakage.near.len(),
            duplicates.n_compared,
            duplicates.largest_other_correlation.map_or("nothing".to_owned(), |c| format!("{c:.3}")),
        ),
    );
    document.item("Patients in several published splits", leakage.patients.len());
    document.item("The same file in several classes", duplicates.contradicting.len());
    document.item("Corrupt or unusable files", reasons(&eda.unreadable));
    document.table(
        ["artefacts by class", "screened", "border", "letter-like marks", "extreme exposure"],
        eda.images.artefacts.iter().map(|(class, found)| {
            [
                class.clone(),
                found.n.to_string(),
                found.bordered.to_string(),
                found.marked.to_string(),
                found.extreme_exposure.to_string(),
            ]
        }),
    );
    match &eda.label_noise {
        Some(noise) => {
            let [negative, positive] = noise.noise_rates;
            document.item(
                "Label noise (confident learning, Northcutt et al. 2021)",
                format_args!(
                    "{:.2} % of the negative and {:.2} % of the positive labels, {} suspects among {}; {}, {} folds, AUC {:.4}",
                    negative * 100.0,
                    positive * 100.0,
                    noise.suspects.len(),
                    noise.n,
                    noise.features,
                    noise.folds,
                    noise.auc
                ),
            );
        }
        None => document.missing("Label noise", "`cxr-trainer eda` was interrupted before this stage"),
    }
}

/// What alone tells the class, beside the pixels.
fn confounders(eda: &Eda, document: &mut Document) {
    document.paragraph(
        "What the table says of an image and how its file is stored, as a score for the positive class: the share of positives among other \
         patients' images with the same value. A property that tells the class, or a value that only one class has, can be learnt in place \
         of the finding.",
    );
    document.table(
        ["property", "from", "values", "AUC", "tells the class"],
        eda.confounders.iter().map(|found| {
            [
                found.property.clone(),
                super::text::key(&found.source),
                found.groups.len().to_string(),
                super::text::measured(&found.auc),
                told(found),
            ]
        }),
    );
}

/// Whether a property tells the class, or some of its values do.
fn told(found: &Confounder) -> String {
    let values: Vec<String> = found.one_class().iter().map(OneClass::to_string).collect();
    match (found.tells(), values.is_empty()) {
        (true, true) => "yes".to_owned(),
        (false, true) => "no".to_owned(),
        (tells, false) => format!("{}: {}", if tells { "yes" } else { "in part" }, values.join("; ")),
    }
}

/// How many files for which reason; their names stay in eda.json.
fn reasons(files: &BTreeMap<String, String>) -> String {
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in files.values() {
        *by_reason.entry(reason).or_default() += 1;
    }
    counts(by_reason)
}

fn statistics(eda: &Eda, document: &mut Document) {
    let examined = &eda.images;
    document.heading("Statistics by class");
    document.paragraph("Like the artefacts above without the published test split, where there is one: median and, in brackets, 5th to 95th percentile.");
    let names: Vec<&String> =
        examined.statistics.values().next().map(|of| of.keys().collect()).unwrap_or_default();
    let classes: Vec<&String> = examined.statistics.keys().collect();
    document.table(
        ["statistic", &classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(" / ")],
        names.into_iter().map(|name| {
            let of_class = classes.iter().map(|class| {
                examined.statistics[*class]
                    .get(name)
                    .map_or_else(String::new, |s| format!("{:.3} [{:.3}, {:.3}]", s.median, s.p05, s.p95))
            });
            [name.clone(), of_class.collect::<Vec<_>>().join(" / ")]
        }),
    );
    confounders(eda, document);
    document.paragraph(
        "Single properties as a score for the class: the further the area under the curve is above 0.5, the stronger is the shortcut that \
         the data offers, whichever class has more of the property.",
    );
    document.table(
        ["property", "AUC", "direction", "median, negatives", "median, positives"],
        examined.shortcuts.iter().map(|s| {
            [
                s.property.clone(),
                super::text::measured(&s.strength()),
                (if s.strength().ci95[0] > 0.5 { s.direction() } else { "tells nothing" }).to_owned(),
                format!("{:.4}", s.negative_median),
                format!("{:.4}", s.positive_median),
            ]
        }),
    );
}
