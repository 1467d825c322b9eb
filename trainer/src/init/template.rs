//! The YAML file that `init` writes.

use super::inspection::Inspection;
use super::settings::{Patients, Settings};
use crate::config::data::{Label, Layout};
use crate::data::patient::quoted;
use cxr::metadata::{Modality, View};
use std::path::Path;

pub(super) fn render(inspection: &Inspection, settings: &Settings, out: &Path, run: &str) -> String {
    let Settings { statements: of, .. } = settings;
    let null = || "null".to_owned();
    let stated = |statement: &Option<String>| statement.as_deref().map_or_else(null, text);
    let (pattern, table) = match &settings.patients {
        Patients::KnownNames | Patients::EachFile => (null(), null()),
        Patients::Pattern(pattern) => (quoted(pattern), null()),
        Patients::Table(file) => (null(), path(file)),
    };
    format!(
        "\
# Written by `cxr-trainer init`. Overrides the trainer's defaults; the repository's config/default.yaml lists every
# key.
#   cxr-trainer run --config {out} --run {run}
# Model card and report show null as \"not stated\". Write only what you know.
trainer:
  data:
    # {inspection}
    root: {root}
    name: {name}
    # kaggle: train|val|test / CLASS, and the published test split is kept. flat: CLASS, and every fold is drawn.
    layout: {layout}
    # negative, positive or exclude.
    classes:
{classes}
    # How to find the patient of a file. Set one of three: a regular expression on the path below the class
    # folder whose first group is the patient; a CSV file with the columns
    # file,patient[,label,sex,age,view,scanner,site,date]; or each file is a patient. None: file names follow a
    # known naming scheme.
    patient_pattern: {pattern}
    table: {table}
    each_file_is_a_patient: {each_file}
  model:
    # safetensors file with the backbone's weights, named as in model.architecture. null: random initialisation.
    weights: {weights}
  # JPEG quality, if the images are JPEG files of the model's size. null: they are not.
  stored_jpeg_quality: null
  calibration:
    # Folder of images that are not chest radiographs, to measure how many are recognised.
    ood_images: null
  evaluation:
    # Ledger: each evaluation of the test fold appends a line. null: a file in the run directory.
    ledger: {ledger}
    # External test set, from another site:
    #   {{ root: elsewhere, name: \"..\", classes: {{ NORMAL: negative, PNEUMONIA: positive, OTHER: other }}, note: \"..\" }}
    external: null
  export:
    name: {bundle_name}
    version: 1.0.0
    # null: `bundle` in the run directory.
    directory: null
    # Private key: anyone who has it can sign in your name.
    signing_key: {signing_key}
    intended_use:
      statement: {intended_use}
      # Youngest and oldest age in years. null: not stated; images of any age get an answer.
      age_years: {ages}
      # []: not stated; any projection or modality gets an answer.
      views: [{views}]
      modalities: [{modalities}]
  # Facts that only a person can state. Card and report print them verbatim.
  provenance:
    source: {source}
    licence: {licence}
    citation: {citation}
    population: {population}
    institutions: {institutions}
    acquisition: {acquisition}
    label_method: {label_method}
    consent_or_ethics: {consent_or_ethics}
    notes: {notes}
",
        out = out.display(),
        inspection = inspection.describe(),
        root = path(&inspection.root),
        name = text(&settings.name),
        layout = if inspection.layout == Layout::Kaggle { "kaggle" } else { "flat" },
        each_file = settings.patients == Patients::EachFile,
        classes = classes(&settings.classes),
        weights = settings.weights.as_deref().map_or_else(null, path),
        ledger = settings.ledger.as_deref().map_or_else(null, path),
        bundle_name = text(&settings.bundle_name),
        signing_key = path(&settings.signing_key),
        intended_use = text(&settings.intended_use),
        ages = settings.ages.map_or_else(null, |[from, to]| format!("[{from:?}, {to:?}]")),
        views = settings.views.iter().map(|view| View::name(*view)).collect::<Vec<_>>().join(", "),
        modalities = settings.modalities.iter().map(|one| Modality::name(*one)).collect::<Vec<_>>().join(", "),
        source = stated(&of.source),
        licence = stated(&of.licence),
        citation = stated(&of.citation),
        population = stated(&of.population),
        institutions = stated(&of.institutions),
        acquisition = stated(&of.acquisition),
        label_method = stated(&of.label_method),
        consent_or_ethics = stated(&of.consent_or_ethics),
        notes = stated(&of.notes),
    )
}

fn classes(classes: &[(String, Label)]) -> String {
    let line = |(name, label): &(String, Label)| format!("      {}: {}", quoted(name), label.name());
    classes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A string on one line; an option's value may have several.
fn text(text: &str) -> String {
    quoted(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
