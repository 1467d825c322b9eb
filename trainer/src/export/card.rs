//! The model card: what a person must know before using the bundle, with the figures of this very bundle.

use super::parity::Parity;
use crate::consistency::Consistency;
use crate::evaluate::rows;
use cxr::bundle::{FoldEvaluation, Manifest, Variant};
use std::fmt::{self, Write as _};

const LIMITATIONS: &str = "\
- One hospital, one age group: all images come from the Guangzhou Women and Children's Medical Center, children of one
  to five years, frontal (AP) projection. Adults, other projections and other scanners are outside what was measured.
- The network was trained on squashed 224 x 224 JPEG copies; how it meets untouched originals is measured above.
- The folds select and calibrate come from the published training data and are easier than the published test split
  (whose labels were read more carefully and whose normal images are harder): the operating point is more sensitive and
  less specific on the test split than on the fold that chose it. The figures of the fold calibrate are optimistic.
- The probability is calibrated on held-out training data. On the test split the probabilities of normal images are too
  high (see its ECE and Brier score): rely on verdict and review band, and recalibrate with local data before reading
  the probability as a chance.
- The data holds shortcuts: aspect ratio, resolution, colour mode and burned-in letters differ between the classes.
  Squashing and grey conversion remove some of them, not all.
- The label is radiographic pneumonia as graded in that study; it does not tell bacterial from viral, nor pneumonia
  from other opacities.
- The class activation map says where the evidence came from at a resolution of 1/32 of the input; it is no
  segmentation.
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
        writeln!(text, "## Intended use\n\n{}\n", manifest.intended_use.statement)?;
        writeln!(
            text,
            "The answer to an image is a calibrated probability of {}, a verdict at the operating point, and whether a\nradiologist must look. Images outside the intended use, unlike the known ones or near the operating point are\nmarked for review.\n",
            manifest.labels[1]
        )?;
        if let Some(variant) = manifest.variants.get(&manifest.default_variant) {
            write_decision(text, variant)?;
        }
        self.write_figures(text)?;
        self.write_consistency(text)?;
        self.write_training(text)?;
        writeln!(text, "## Limitations\n\n{LIMITATIONS}")?;
        write!(text, "## Sources and licences\n\n{SOURCES}")
    }

    fn write_figures(&self, text: &mut String) -> fmt::Result {
        writeln!(
            text,
            "## Figures\n\nAt the operating point; in brackets 95 % intervals from resampling patients.\n"
        )?;
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
        writeln!(text, "## Originals against copies\n")?;
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

    fn write_training(&self, text: &mut String) -> fmt::Result {
        let training = &self.manifest.training;
        writeln!(text, "## Training\n")?;
        writeln!(
            text,
            "- Architecture {}, weights averaged over steps, epoch {}.",
            self.manifest.model.architecture, training.epoch
        )?;
        let folds: Vec<String> = training.images.iter().map(|(fold, n)| format!("{fold} {n}")).collect();
        writeln!(
            text,
            "- {}: {}; folds are disjoint by patient; seed {}.",
            training.dataset,
            folds.join(", "),
            training.seed
        )?;
        writeln!(
            text,
            "- Digests: data {}, folds {}, configuration {}.",
            training.dataset_sha256, training.split_sha256, training.config_sha256
        )?;
        let libraries: Vec<String> =
            training.libraries.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(text, "- Computed on {} with {}.", training.hardware, libraries.join(", "))?;
        writeln!(text, "- {}.\n", self.parity)
    }
}

fn write_decision(text: &mut String, variant: &Variant) -> fmt::Result {
    let (calibration, policy) = (&variant.calibration, &variant.policy);
    writeln!(text, "## Decision\n")?;
    writeln!(text, "- Probability: sigmoid({:.4} x logit {:+.4}).", calibration.scale, calibration.bias)?;
    writeln!(
        text,
        "- Operating point: {:.4}, the highest threshold with sensitivity {} on the {} fold ({} images; there sensitivity {:.4}, specificity {:.4}). The rule was fixed before the test split was looked at.",
        policy.threshold,
        policy.chosen.target_sensitivity,
        policy.chosen.fold,
        policy.chosen.n,
        policy.chosen.sensitivity,
        policy.chosen.specificity
    )?;
    writeln!(
        text,
        "- Review band: probabilities from {:.4} to {:.4}.",
        policy.review_band.low, policy.review_band.high
    )?;
    writeln!(text, "- Out of distribution: scores above {:.3}.\n", policy.ood_threshold)
}

fn write_table(text: &mut String, name: &str, figures: &FoldEvaluation) -> fmt::Result {
    writeln!(text, "| {name} | value | 95 % interval | n |\n|---|---|---|---|")?;
    for (figure, measured) in rows(figures) {
        let [low, high] = measured.ci95;
        writeln!(text, "| {figure} | {:.4} | {low:.4} to {high:.4} | {} |", measured.value, measured.n)?;
    }
    writeln!(text)
}
