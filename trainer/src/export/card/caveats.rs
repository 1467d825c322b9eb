//! The last sections of the card: reasons for doubt, and the work it builds on.

use super::Card;
use crate::config::provenance::{NOT_STATED, stated};
use crate::data::eda::Eda;
use crate::data::eda::examined::Shortcut;
use std::fmt::{self, Write as _};

/// From this area under the curve on, a single property that tells the class is named.
const TELLING: f64 = 0.7;
/// So many are named.
const MOST: usize = 5;

impl Card<'_> {
    pub(super) fn write_ethics(&self, text: &mut String) -> fmt::Result {
        let config = self.facts.config;
        writeln!(text, "## Ethical considerations\n")?;
        writeln!(
            text,
            "- Consent, ethics approval, anonymisation: {}.",
            stated(config.provenance.consent_or_ethics.as_ref())
        )?;
        writeln!(
            text,
            "- The operating point was chosen for sensitivity {} on the calibrate fold; how many negatives are called positive follows\n  from that.",
            config.calibration.target_sensitivity
        )?;
        writeln!(text, "- The bundle holds no image of a patient: its golden inputs are generated.")?;
        writeln!(
            text,
            "- Figures in groups that the data does not name are unknown: validate locally before use.\n"
        )
    }

    pub(super) fn write_caveats(&self, text: &mut String) -> fmt::Result {
        let facts = self.facts;
        writeln!(text, "## Caveats and recommendations\n")?;
        let limitations = &facts.config.provenance.limitations;
        if limitations.is_empty() {
            writeln!(text, "- Limitations that only a person can state: {NOT_STATED}.")?;
        }
        for limitation in limitations {
            writeln!(text, "- {}.", limitation.trim().trim_end_matches('.'))?;
        }
        writeln!(
            text,
            "- {} The figures of the fold calibrate are optimistic, because it\n  chose probability and operating point.",
            if facts.census.test_is_drawn {
                "All folds were drawn from one pool: no figure on them speaks of another site."
            } else {
                "The folds select and calibrate were drawn beside train, and the test split came with the data: compare its table with\n  that of select. A new site can differ by more."
            }
        )?;
        self.write_calibration_error(text)?;
        writeln!(text, "- {}", single_properties(facts.eda.as_ref()))?;
        writeln!(text, "- {}", self.heatmap_cells())?;
        writeln!(text, "- {}", depths(facts.eda.as_ref()))?;
        writeln!(
            text,
            "- Before use: measure the bundle on images of your own site, recalibrate, and choose the operating point there.\n\
             - In use: watch the drift of scores and images, calibration and rate of reviews; a change of scanner is a new validation.\n"
        )
    }

    /// Whether the probability can be read as a chance.
    fn write_calibration_error(&self, text: &mut String) -> fmt::Result {
        let evaluation = &self.manifest.evaluation;
        let select = evaluation.select.ece.value;
        match &evaluation.test {
            Some(test) if test.ece.value > select => writeln!(
                text,
                "- The calibration error on the test fold ({:.4}) is above that on select ({select:.4}): rely on verdict and review band, and\n  recalibrate with local data before reading the probability as a chance.",
                test.ece.value
            ),
            Some(test) => writeln!(
                text,
                "- The calibration error on the test fold ({:.4}) is not above that on select ({select:.4}); at another site it may be:\n  recalibrate with local data before reading the probability as a chance.",
                test.ece.value
            ),
            None => writeln!(
                text,
                "- The calibration error was measured on select ({select:.4}) and not on the test fold."
            ),
        }
    }

    /// What a place on the map stands for.
    fn heatmap_cells(&self) -> String {
        let variant = self.manifest.variants.get(&self.manifest.default_variant);
        if variant.is_some_and(|variant| variant.heatmap.is_none()) {
            return "Answers come without a heatmap (\"Heatmap\" above says why): nothing shows where the evidence came from."
                .to_owned();
        }
        let shape = self.manifest.model.outputs.iter().find(|output| output.name == "cam");
        let cell = shape.and_then(|cam| match cam.shape[..] {
            [_, _, Some(rows), Some(columns)] if rows > 0 && columns > 0 => Some((columns, rows)),
            _ => None,
        });
        let input = &self.manifest.preprocess;
        let size = cell.map_or_else(String::new, |(columns, rows)| {
            format!(
                ", in cells of {} x {} pixels of the input",
                input.width.div_ceil(columns),
                input.height.div_ceil(rows)
            )
        });
        format!(
            "The heatmap says where the evidence came from{size}. It is no segmentation and does not localise disease: where its\n  strongest place lies is measured above."
        )
    }

    pub(super) fn write_sources(&self, text: &mut String) -> fmt::Result {
        let config = self.facts.config;
        let provenance = &config.provenance;
        let weights = config.model.weights.as_ref().and_then(|file| file.file_name());
        let weights = weights.map(|name| name.to_string_lossy().into_owned());
        writeln!(text, "## Sources and licences\n")?;
        writeln!(
            text,
            "- Images: {}; licence: {}; citation: {}.",
            stated(provenance.source.as_ref()),
            stated(provenance.licence.as_ref()),
            stated(provenance.citation.as_ref())
        )?;
        writeln!(text, "- Initial weights: {}.", provenance.of_weights(weights.as_deref()))?;
        writeln!(
            text,
            "- Weights of this model: licence: {}. Code of the trainer: {}.",
            stated(provenance.model_licence.as_ref()),
            env!("CARGO_PKG_LICENSE")
        )
    }
}

/// Properties of the files that tell the class without any network.
fn single_properties(eda: Option<&Eda>) -> String {
    let Some(eda) = eda else {
        return "Whether single properties of the files tell the class was not measured: `cxr-trainer eda` does.".to_owned();
    };
    let telling: Vec<String> = eda
        .images
        .shortcuts
        .iter()
        .filter(|shortcut| shortcut.strength().value >= TELLING)
        .take(MOST)
        .map(Shortcut::to_string)
        .collect();
    if telling.is_empty() {
        format!("No single property of the files tells the class with an AUC of {TELLING} or more.")
    } else {
        format!("Single properties of the files tell the class: {}.", telling.join("; "))
    }
}

/// Files deeper than those that the network knows.
fn depths(eda: Option<&Eda>) -> String {
    const RULE: &str =
        "Files of more than 8 bits that carry no window are windowed by quantiles. The images of the data:";
    match eda {
        None => format!("{RULE} bits not measured."),
        Some(eda) => {
            let mut bits = std::collections::BTreeMap::<u8, usize>::new();
            for (depth, n) in eda.images.properties.values().flat_map(|found| &found.bits) {
                *bits.entry(*depth).or_default() += n;
            }
            let counts: Vec<String> = bits.iter().map(|(depth, n)| format!("{n} of {depth} bits")).collect();
            let unknown = if bits.keys().all(|depth| *depth <= 8) {
                "; how deeper files with more levels are answered was not measured"
            } else {
                ""
            };
            format!("{RULE} {}{unknown}.", counts.join(", "))
        }
    }
}
