//! The model card: what a person must know before using the bundle, with the figures of this very bundle, under the
//! headings of Mitchell et al. 2019, "Model Cards for Model Reporting".

use super::further::Line;
use super::parity::Parity;
use crate::consistency::Consistency;
use crate::consistency::depth::DepthConsistency;
use crate::evaluate::rows;
use cxr::bundle::{FoldEvaluation, Manifest, Variant};
use std::fmt::{self, Write as _};

const LIMITATIONS: &str = "\
- One hospital, one age group: all images come from the Guangzhou Women and Children's Medical Center, children of one
  to five years, frontal (AP) projection. Adults, other projections and other scanners are outside what was measured.
- The network was trained on squashed 224 x 224 JPEG copies; how it meets untouched originals is measured above.
- The folds select and calibrate come from the published training data; the published test split has other prevalence,
  harder normal images and labels that were read more carefully. Compare its table with that of select: a new site can
  differ as much. The figures of the fold calibrate are optimistic, because it chose probability and operating point.
- The probability is calibrated on held-out training data. Where the ECE of the test split is above that of select, rely
  on verdict and review band, and recalibrate with local data before reading the probability as a chance.
- The data holds shortcuts: aspect ratio, resolution, colour mode and burned-in letters differ between the classes.
  Squashing and grey conversion remove some of them, not all.
- The label is radiographic pneumonia as graded in that study; it does not tell bacterial from viral, nor pneumonia
  from other opacities.
- The heatmap says where the evidence came from at a resolution of 1/32 of the input. It is no segmentation and does
  not localise disease: where its strongest place lies is measured above.
- Files of 9 to 16 bits that are as deep as they say carry no window and are windowed by quantiles. The training images
  had 8 bits; how such files are answered was not measured.
";

const FACTORS: &str = "\
- Relevant: age, projection, scanner and exposure, image size and compression, aspect ratio, colour mode, burned-in
  letters and borders, share of pneumonias among the images, quality of the labels.
- Evaluated: official test split against held-out training data (other prevalence, harder normals, closer reading);
  originals against small copies; what stands under further measurements.
- Not evaluated: sex, ethnicity and single scanners, which the data does not name.
";

const ETHICS: &str = "\
- A missed pneumonia of a small child is the worst error: the operating point favours sensitivity, and a radiologist
  confirms every positive and reads whatever is marked for review. The model decides nothing alone.
- The images are public and were anonymised by their publishers; file names hold a patient number of the study and stay
  out of logs. The bundle holds no image of a patient: its golden inputs are generated.
- Performance in groups that the data does not name is unknown. Whoever uses the model owes them a local validation.
";

const SOURCES: &str = "\
- Images: Kermany, Zhang, Goldbaum, \"Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
  Classification\", Mendeley Data, 2018, doi:10.17632/rscbjbr9sj, licence CC BY 4.0; described in Kermany et al.,
  \"Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning\", Cell 172 (2018).
- Initial weights: MobileNetV2 1.0 of the ONNX Model Zoo (from GluonCV), trained on ImageNet, licence Apache-2.0.
";

/// What the card is written from.
#[derive(Debug)]
pub(super) struct Card<'a> {
    /// The manifest; its list of files may still be empty.
    pub(super) manifest: &'a Manifest,
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
        self.write_details(text)?;
        writeln!(text, "{}", intended_use(manifest))?;
        writeln!(text, "## Factors\n\n{FACTORS}")?;
        writeln!(
            text,
            "## Metrics\n\nArea under the ROC curve; at the operating point sensitivity, specificity, precision, F1 and accuracy; for the\nprobability the expected calibration error (15 bins of equal width) and the Brier score. In brackets or beside the\nvalue: 95 % intervals from resampling patients.\n"
        )?;
        if let Some(variant) = manifest.variants.get(&manifest.default_variant) {
            writeln!(text, "{}", decision(variant))?;
        }
        self.write_data(text)?;
        self.write_figures(text)?;
        self.write_consistency(text)?;
        self.write_further(text)?;
        self.sections.iter().try_for_each(|section| writeln!(text, "{section}"))?;
        writeln!(text, "## Ethical considerations\n\n{ETHICS}")?;
        writeln!(text, "{}", caveats())?;
        write!(text, "## Sources and licences\n\n{SOURCES}")
    }

    fn write_details(&self, text: &mut String) -> fmt::Result {
        let (manifest, training) = (self.manifest, &self.manifest.training);
        writeln!(text, "## Model details\n")?;
        writeln!(
            text,
            "- {} with one logit; weights averaged over the steps, of epoch {}. Input: {} x {} pixels, grey, 8 bit.",
            manifest.model.architecture,
            training.epoch,
            manifest.preprocess.width,
            manifest.preprocess.height
        )?;
        writeln!(
            text,
            "- Version {} of {}, trainer commit {}. Licence of code and weights: Apache-2.0.",
            manifest.version,
            manifest.created,
            manifest.git_commit.as_deref().unwrap_or("unknown")
        )?;
        writeln!(text, "- Signed (Ed25519) by key {}.", self.key)?;
        let libraries: Vec<String> =
            training.libraries.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(text, "- Computed on {} with {}.", training.hardware, libraries.join(", "))?;
        writeln!(text, "- {}.", self.parity)?;
        writeln!(text, "- Questions and faults: the issues of the repository that it comes from.\n")
    }

    fn write_data(&self, text: &mut String) -> fmt::Result {
        let training = &self.manifest.training;
        let n = |fold: &str| training.images.get(fold).copied().unwrap_or_default();
        writeln!(
            text,
            "## Evaluation data\n\n- Official test split, {} images: read once for each set of weights, every look entered in a ledger.\n- Fold calibrate, {} images, which fitted probability and operating point; fold select, {} images, which chose the epoch.\n  Both come from the published training data and are disjoint from it by patient.\n",
            n("test"),
            n("calibrate"),
            n("select")
        )?;
        writeln!(
            text,
            "## Training data\n\n- {}: fold train, {} images; folds divided by patient and class, seed {}.\n- Digests: data {}, folds {}, configuration {}.\n",
            training.dataset,
            n("train"),
            training.seed,
            training.dataset_sha256,
            training.split_sha256,
            training.config_sha256
        )
    }

    fn write_figures(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "## Quantitative analyses\n\nAt the operating point.\n")?;
        let evaluation = &self.manifest.evaluation;
        let mut folds = vec![("calibrate", &evaluation.calibrate), ("select", &evaluation.select)];
        folds.extend(evaluation.test.as_ref().map(|test| ("official test split", test)));
        folds.reverse();
        for (name, figures) in folds {
            write_table(text, name, figures)?;
        }
        if evaluation.test.is_none() {
            writeln!(text, "The official test split was not looked at for this bundle.\n")?;
        }
        Ok(())
    }

    fn write_consistency(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "### Originals against copies\n")?;
        match self.consistency {
            Some(c) => writeln!(
                text,
                "{} untouched originals (0.3 to 3 megapixels) and their 224 x 224 JPEG copies, both through the service's decoding,\npreprocessing and ONNX Runtime: mean difference of the probability {:.4} absolute, {:+.4} signed, {:.4} at most;\n{} of {} verdicts differ.\n",
                c.n,
                c.mean_absolute_difference,
                c.mean_signed_difference,
                c.largest_difference,
                c.n_flipped,
                c.n
            ),
            None => writeln!(text, "Not measured: no originals were at hand.\n"),
        }
    }

    fn write_further(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "### Further measurements\n")?;
        if self.further.is_empty() {
            return writeln!(text, "None for these weights.\n");
        }
        writeln!(text, "| figure | value and 95 % interval |\n|---|---|")?;
        self.further.iter().try_for_each(|(what, value)| writeln!(text, "| {what} | {value} |"))?;
        writeln!(text, "\nAll others are in the technical report, REPORT.md.\n")
    }
}

/// The section about who and what the model is for, and what it answers.
pub(super) fn intended_use(manifest: &Manifest) -> String {
    format!(
        "## Intended use\n\n{}\n\n\
         The answer to an image is a verdict at the operating point, the class and its calibrated probability (of {}), and whether a\n\
         radiologist must look. Images outside the intended use or unlike the known ones are referred: no class and no probability. Images\n\
         whose age or view nobody states, and those near the operating point, are marked for review. Out of scope: adults, lateral\n\
         projections, CT, screening without a reader, any use as the only reading.\n",
        manifest.intended_use.statement, manifest.labels[1]
    )
}

/// The section about caveats.
pub(super) fn caveats() -> String {
    format!(
        "## Caveats and recommendations\n\n{LIMITATIONS}\n\
         - Before use: measure the bundle on images of your own site, recalibrate, and choose the operating point there.\n\
         - In use: watch the monitored drift, calibration and rate of reviews; a change of scanner is a new validation.\n"
    )
}

/// The heading of the section about deep files.
pub(super) const DEPTH: &str = "### Files stored deep\n";

/// The section about deep files that hold shallow data.
pub(super) fn depth_section(found: Option<&DepthConsistency>) -> String {
    match found {
        Some(found) => format!(
            "{DEPTH}\nThe same 8-bit pixels, saved in 16 bits, are read as the 8-bit file is: {found}.\n"
        ),
        None => format!("{DEPTH}\nNot measured: no originals were at hand.\n"),
    }
}

/// The section about probability and operating point.
pub(super) fn decision(variant: &Variant) -> String {
    let (calibration, policy) = (&variant.calibration, &variant.policy);
    format!(
        "### Decision\n\n\
         - Probability: sigmoid({:.4} x logit {:+.4}).\n\
         - Operating point: {:.4}, the highest threshold with sensitivity {} on the {} fold ({} images; there sensitivity {:.4}, specificity {:.4}). The rule was fixed before the test split was looked at.\n\
         - Review band: probabilities from {:.4} to {:.4}.\n\
         - Out of distribution: scores above {:.3}. Such images are referred.\n",
        calibration.scale,
        calibration.bias,
        policy.threshold,
        policy.chosen.target_sensitivity,
        policy.chosen.fold,
        policy.chosen.n,
        policy.chosen.sensitivity,
        policy.chosen.specificity,
        policy.review_band.low,
        policy.review_band.high,
        policy.ood_threshold
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
