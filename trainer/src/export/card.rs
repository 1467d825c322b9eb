//! The model card. Its prose is in `templates/`; what is missing is "not stated" or "not measured".

mod facts;
mod scope;

pub(super) use facts::Facts;

use super::int8::variant::Comparison;
use super::measurements::Line;
use super::parity::Parity;
use crate::config::provenance::NOT_STATED;
use crate::data::census::{Census, FOLDS};
use crate::data::eda::Eda;
use crate::data::eda::examined::Shortcut;
use crate::data::folds::Fold;
use crate::fitness::Fitness;
use crate::markdown::{self, Templates};
use crate::measure::consistency::Consistency;
use crate::measure::consistency::depth::DepthConsistency;
use crate::measure::evaluate::{ece_note, named_groups, rows};
use anyhow::Result;
use cxr::DecisionPolicy;
use cxr::bundle::{Manifest, Variant};
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde_json::json;
use std::collections::BTreeMap;

const TEMPLATES: &Templates = &[
    ("card.md", include_str!("templates/card.md.j2")),
    ("decision.md", include_str!("templates/decision.md.j2")),
    ("int8.md", include_str!("templates/int8.md.j2")),
    ("recalibration.md", include_str!("templates/recalibration.md.j2")),
    ("intended_use.md", include_str!("templates/intended_use.md.j2")),
];
/// Least area under the ROC curve from which the card names a property of the files as predicting the class.
const TELLING_AUC: f64 = 0.7;
const MOST_TELLING: usize = 5;

#[derive(Debug)]
pub(super) struct Card<'a> {
    /// The list of files may still be empty.
    pub(super) manifest: &'a Manifest,
    pub(super) facts: &'a Facts<'a>,
    pub(super) consistency: Option<&'a Consistency>,
    pub(super) parity: &'a Parity,
    pub(super) measurements: &'a [Line],
    /// Further sections, each with its heading.
    pub(super) sections: &'a [String],
    pub(super) key: &'a str,
}

impl Card<'_> {
    pub(super) fn render(&self) -> Result<String> {
        let (facts, manifest) = (self.facts, self.manifest);
        let (config, fitness, eda) = (facts.config, &facts.fitness, facts.eda.as_ref());
        let weights = config.model.weights.as_ref().and_then(|file| file.file_name());
        let weights = weights.map(|name| name.to_string_lossy().into_owned());
        let variant = manifest.variants.get(&manifest.default_variant);
        let bits = eda.map(bits);
        let values = context! {
            key => self.key,
            parity => self.parity.to_string(),
            consistency => Serde(self.consistency),
            measurements => Serde(self.measurements),
            sections => Serde(self.sections),
            config => Serde(config),
            provenance => Serde(&config.provenance),
            data_statements => Serde(config.provenance.of_data()),
            initial_weights => config.provenance.of_weights(weights.as_deref()),
            verdict => fitness.sentence(),
            gates => Serde(json!({"header": Fitness::HEADER, "rows": fitness.rows(), "notes": fitness.notes()})),
            unnamed_groups => Serde(named_groups::unnamed(&facts.groups)),
            groups => Serde(&facts.groups),
            shifts => Serde(&facts.shifts),
            n_looks => facts.n_looks,
            test_name => facts.census.test_name(),
            test_is_drawn => facts.census.test_is_drawn,
            census_header => Serde(Census::HEADER),
            census_rows => Serde(facts.census.rows()),
            n_images => Serde(FOLDS.map(|fold| (fold, self.n_images(fold))).into_iter().collect::<BTreeMap<_, _>>()),
            shares => Serde(FOLDS.map(|fold| format!("{} {:.3}", fold.name(), self.share_of_positives(fold)))),
            leakage => Serde(facts.split.as_ref().map(|split| &split.leakage)),
            stored => eda.map(|eda| facts::sizes(&eda.images)),
            originals => facts.sizes_of_originals(),
            no_originals => NO_ORIGINALS,
            evaluations => Serde(self.evaluations()),
            ece_note => ece_note(manifest.evaluation.select.ece_kind),
            telling => Serde(eda.map(telling)),
            telling_auc => TELLING_AUC,
            cell => Serde(self.map_cell()),
            is_deep => bits.as_ref().is_some_and(|bits| bits.keys().any(|depth| *depth > 8)),
            bits => Serde(bits),
            trainer_licence => env!("CARGO_PKG_LICENSE"),
            variant => variant.map(decision_values),
            ..manifest_values(manifest)
        };
        rendered("card.md", values)
    }

    fn n_images(&self, fold: Fold) -> usize {
        self.facts.census.of_fold(fold).iter().map(|count| count.images).sum()
    }

    fn share_of_positives(&self, fold: Fold) -> f64 {
        self.facts.census.of_fold(fold)[1].images as f64 / self.n_images(fold).max(1) as f64
    }

    /// Figures by fold, the test fold first.
    fn evaluations(&self) -> Vec<(&str, Vec<serde_json::Value>)> {
        let evaluation = &self.manifest.evaluation;
        let test = evaluation.test.as_ref().map(|test| (self.facts.census.test_name(), test));
        let folds =
            test.into_iter().chain([("select", &evaluation.select), ("calibrate", &evaluation.calibrate)]);
        folds.map(|(name, figures)| (name, rows(figures).map(|row| json!(row)).into())).collect()
    }

    /// Columns and rows of input pixels for each cell of the class activation map.
    fn map_cell(&self) -> Option<[usize; 2]> {
        let map = self.manifest.model.outputs.iter().find(|output| output.name == "cam")?;
        let [_, _, Some(rows @ 1..), Some(columns @ 1..)] = map.shape[..] else { return None };
        let input = &self.manifest.preprocess;
        Some([input.width.div_ceil(columns) as usize, input.height.div_ceil(rows) as usize])
    }
}

/// Properties of the files that predict the class without a network.
fn telling(eda: &Eda) -> Vec<String> {
    let telling = eda.images.shortcuts.iter().filter(|shortcut| shortcut.strength().value >= TELLING_AUC);
    telling.take(MOST_TELLING).map(Shortcut::to_string).collect()
}

/// Number of images by bit depth.
fn bits(eda: &Eda) -> BTreeMap<u8, usize> {
    let mut bits = BTreeMap::new();
    for (depth, n) in eda.images.properties.values().flat_map(|found| &found.bits) {
        *bits.entry(*depth).or_default() += n;
    }
    bits
}

fn manifest_values(manifest: &Manifest) -> Value {
    context! { manifest => Serde(manifest), out_of_scope => scope::out_of_scope(&manifest.intended_use) }
}

fn decision_values(variant: &Variant) -> Value {
    context! { thresholds => thresholds(&variant.policy), ..Value::from(Serde(variant)) }
}

pub(crate) fn rendered(template: &str, values: Value) -> Result<String> {
    let mut environment = markdown::environment(TEMPLATES)?;
    environment.add_filter("stated", |statement: Option<String>| match statement {
        Some(statement) => statement.trim().to_owned(),
        None => NOT_STATED.to_owned(),
    });
    markdown::render(&environment, template, values)
}

pub(crate) fn intended_use(manifest: &Manifest) -> Result<String> {
    rendered("intended_use.md", manifest_values(manifest))
}

/// The section about the int8 variant, against fp32 on the select fold.
pub(crate) fn int8(variant: &Variant, comparison: &Comparison) -> Result<String> {
    let values = context! {
        variant => Serde(variant),
        comparison => Serde(comparison),
        figures => Serde(rows(&comparison.figures)),
        ece_note => ece_note(comparison.figures.ece_kind),
    };
    rendered("int8.md", values)
}

pub(crate) fn decision(variant: &Variant) -> Result<String> {
    rendered("decision.md", context! { variant => decision_values(variant) })
}

pub(crate) const NO_ORIGINALS: &str = "trainer.export.originals is not a folder";

pub(crate) const DEPTH: &str = "### Files stored deep\n";

/// The section about 8-bit data stored in 16-bit files.
pub(crate) fn depth_section(found: Option<&DepthConsistency>) -> String {
    match found {
        Some(found) => format!("{DEPTH}\n8-bit pixels stored in 16 bits, against the 8-bit file: {found}.\n"),
        None => format!("{DEPTH}\nNot measured: {NO_ORIGINALS}.\n"),
    }
}

/// Review band and out-of-distribution threshold, as lines of the card.
pub(crate) fn thresholds(policy: &DecisionPolicy) -> String {
    format!(
        "- Review band: probabilities from {:.4} to {:.4}.\n\
         - Out of distribution: scores above {:.3}. Such images are referred.\n",
        policy.review_band.low, policy.review_band.high, policy.ood_threshold
    )
}
