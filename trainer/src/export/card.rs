//! The model card: what a person must know before using the bundle, under the headings of Mitchell et al. 2019, "Model Cards for
//! Model Reporting". Every sentence follows from the configuration or from a measurement; what neither says is "not stated" or "not
//! measured".

mod caveats;
mod data;
mod facts;
mod scope;

pub(super) use facts::Facts;

use super::further::Line;
use super::parity::Parity;
use crate::config::provenance::stated;
use crate::measure::consistency::Consistency;
use crate::measure::consistency::depth::DepthConsistency;
use crate::measure::evaluate::{ECE_NOTE, rows};
use cxr::DecisionPolicy;
use cxr::bundle::{FoldEvaluation, Manifest, Variant};
use std::fmt::{self, Write as _};

/// What the card is written from.
#[derive(Debug)]
pub(super) struct Card<'a> {
    /// The manifest; its list of files may still be empty.
    pub(super) manifest: &'a Manifest,
    /// What is stated and what was measured of the run and its data.
    pub(super) facts: &'a Facts<'a>,
    /// Originals against copies, where measured.
    pub(super) consistency: Option<&'a Consistency>,
    /// Graph against network.
    pub(super) parity: &'a Parity,
    /// What else was measured of these weights.
    pub(super) further: &'a [Line],
    /// Further sections, each with its heading.
    pub(super) sections: &'a [String],
    /// Key that signs the bundle.
    pub(super) key: &'a str,
}

impl Card<'_> {
    /// The card as Markdown.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let manifest = self.manifest;
        writeln!(text, "# {} {}\n", manifest.name, manifest.version)?;
        self.write_verdict(text)?;
        self.write_details(text)?;
        writeln!(text, "{}", intended_use(manifest))?;
        self.write_factors(text)?;
        writeln!(
            text,
            "## Metrics\n\nArea under the ROC curve; at the operating point sensitivity, specificity, precision, F1 and accuracy; for the\nprobability the expected calibration error (15 bins of equal width) and the Brier score. In brackets or beside the\nvalue: 95 % intervals from resampling patients. {ECE_NOTE}\n"
        )?;
        if let Some(variant) = manifest.variants.get(&manifest.default_variant) {
            writeln!(text, "{}", decision(variant))?;
        }
        self.write_data(text)?;
        self.write_figures(text)?;
        self.write_consistency(text)?;
        self.write_further(text)?;
        self.sections.iter().try_for_each(|section| writeln!(text, "{section}"))?;
        self.write_ethics(text)?;
        self.write_caveats(text)?;
        self.write_sources(text)
    }

    fn write_verdict(&self, text: &mut String) -> fmt::Result {
        let fitness = &self.facts.fitness;
        writeln!(text, "## Verdict\n\n**{}**\n", fitness.sentence())?;
        table(text, crate::fitness::Fitness::HEADER, fitness.rows())?;
        for (what, note) in fitness.notes() {
            writeln!(text, "- {what}: {note}.")?;
        }
        writeln!(text)
    }

    fn write_details(&self, text: &mut String) -> fmt::Result {
        let (manifest, training) = (self.manifest, &self.manifest.training);
        let (config, provenance) = (self.facts.config, &self.facts.config.provenance);
        writeln!(text, "## Model details\n")?;
        writeln!(
            text,
            "- {} with one logit; {} epoch {}. Input: {} x {} pixels, grey, 8 bit.",
            manifest.model.architecture,
            if config.training.average_decay.is_some() {
                "weights averaged over the steps, of"
            } else {
                "weights of"
            },
            training.epoch,
            manifest.preprocess.width,
            manifest.preprocess.height
        )?;
        writeln!(
            text,
            "- Version {} of {}, trainer commit {}.",
            manifest.version,
            manifest.created,
            manifest.git_commit.as_deref().unwrap_or("not known")
        )?;
        writeln!(text, "- Licence of the weights: {}.", stated(provenance.model_licence.as_ref()))?;
        writeln!(text, "- Signed (Ed25519) by key {}.", self.key)?;
        let libraries: Vec<String> =
            training.libraries.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(text, "- Computed on {} with {}.", training.hardware, libraries.join(", "))?;
        writeln!(text, "- {}.", self.parity)?;
        writeln!(text, "- Contact: {}.\n", stated(provenance.contact.as_ref()))
    }

    fn write_figures(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "## Quantitative analyses\n\nAt the operating point.\n")?;
        let evaluation = &self.manifest.evaluation;
        let test_name = self.facts.census.test_name();
        let mut folds = vec![("calibrate", &evaluation.calibrate), ("select", &evaluation.select)];
        folds.extend(evaluation.test.as_ref().map(|test| (test_name, test)));
        folds.reverse();
        for (name, figures) in folds {
            write_table(text, name, figures)?;
        }
        if evaluation.test.is_none() {
            writeln!(text, "The {test_name} was not looked at for this bundle.\n")?;
        }
        Ok(())
    }

    fn write_consistency(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "### Originals against copies\n")?;
        match self.consistency {
            Some(c) => writeln!(
                text,
                "{} originals ({}; {}) and the images of the data under the same names,\nboth through the service's decoding, preprocessing and ONNX Runtime: mean difference of the probability {:.4} absolute,\n{:+.4} signed, {:.4} at most; {} of {} verdicts differ.\n",
                c.n,
                stated(self.facts.config.provenance.originals.as_ref()),
                self.facts.sizes_of_originals(),
                c.mean_absolute_difference,
                c.mean_signed_difference,
                c.largest_difference,
                c.n_flipped,
                c.n
            ),
            None => writeln!(text, "Not measured: {NO_ORIGINALS}.\n"),
        }
    }

    fn write_further(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "### Further measurements\n")?;
        if self.further.is_empty() {
            return writeln!(text, "None for these weights.\n");
        }
        writeln!(text, "| figure | value and 95 % interval |\n|---|---|")?;
        self.further.iter().try_for_each(|(what, value)| writeln!(text, "| {what} | {value} |"))?;
        writeln!(text, "\nAll others are in the technical report.\n")
    }
}

/// The section about who and what the model is for, and what it answers.
pub(crate) fn intended_use(manifest: &Manifest) -> String {
    format!(
        "## Intended use\n\n{}\n\n\
         The answer to an image is a verdict at the operating point, the class and its calibrated probability (of {}), and whether a\n\
         radiologist must look. Images outside the intended use or unlike the known ones are referred: no class and no probability. Images\n\
         whose age or view nobody states, and those near the operating point, are marked for review.\n\n{}\n",
        manifest.intended_use.statement.trim(),
        manifest.labels[1],
        scope::out_of_scope(&manifest.intended_use)
    )
}

/// Why originals and copies were not compared.
pub(crate) const NO_ORIGINALS: &str = "trainer.export.originals names no folder that is there";

/// The heading of the section about deep files.
pub(crate) const DEPTH: &str = "### Files stored deep\n";

/// The section about deep files that hold shallow data.
pub(crate) fn depth_section(found: Option<&DepthConsistency>) -> String {
    match found {
        Some(found) => format!(
            "{DEPTH}\nThe same 8-bit pixels, saved in 16 bits, are read as the 8-bit file is: {found}.\n"
        ),
        None => {
            format!("{DEPTH}\nNot measured: {NO_ORIGINALS}.\n")
        }
    }
}

/// The section about probability and operating point.
pub(crate) fn decision(variant: &Variant) -> String {
    let (calibration, policy) = (&variant.calibration, &variant.policy);
    format!(
        "### Decision\n\n\
         - Probability: sigmoid({:.4} x logit {:+.4}).\n\
         - Operating point: {:.4}, the highest threshold with sensitivity {} on the {} fold ({} images; there sensitivity {:.4}, specificity {:.4}).\n\
         {}",
        calibration.scale,
        calibration.bias,
        policy.threshold,
        policy.chosen.target_sensitivity,
        policy.chosen.fold,
        policy.chosen.n,
        policy.chosen.sensitivity,
        policy.chosen.specificity,
        thresholds(policy)
    )
}

/// What a person reads beside the positives, as lines of the card.
pub(crate) fn thresholds(policy: &DecisionPolicy) -> String {
    format!(
        "- Review band: probabilities from {:.4} to {:.4}.\n\
         - Out of distribution: scores above {:.3}. Such images are referred.\n",
        policy.review_band.low, policy.review_band.high, policy.ood_threshold
    )
}

fn write_table(text: &mut String, name: &str, figures: &FoldEvaluation) -> fmt::Result {
    writeln!(text, "| {name} | value | 95 % interval | n |\n|---|---|---|---|")?;
    for (figure, measured) in rows(figures) {
        let [low, high] = measured.ci95;
        writeln!(text, "| {figure} | {:.4} | {low:.4} to {high:.4} | {} |", measured.value, measured.n)?;
    }
    writeln!(text)
}

/// A table and an empty line.
fn table<const N: usize>(text: &mut String, header: [&str; N], rows: Vec<[String; N]>) -> fmt::Result {
    writeln!(text, "| {} |\n|{}", header.join(" | "), "---|".repeat(N))?;
    for row in rows {
        let row = row.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    writeln!(text)
}
