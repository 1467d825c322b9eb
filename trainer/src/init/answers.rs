//! Options of `init`.

use crate::config::data::Label;
use anyhow::{Context, Result, ensure};
use clap::Args;
use cxr::metadata::{Modality, View};
use std::path::PathBuf;

/// Missing options are asked for.
#[derive(Debug, Clone, Default, Args)]
pub struct Answers {
    /// Meaning of a class folder: negative, positive or exclude, such as TUBERCULOSIS=exclude. Repeatable.
    #[arg(long = "class", value_name = "NAME=MEANING", value_parser = class)]
    pub classes: Vec<(String, Label)>,
    /// Regular expression on file names; its first group is the patient.
    #[arg(long, value_name = "REGEX", group = "patients")]
    pub patient_pattern: Option<String>,
    /// CSV file with the columns file,patient[,label,sex,age,view,scanner,site,date].
    #[arg(long, value_name = "FILE", group = "patients")]
    pub table: Option<PathBuf>,
    /// Treats each file as a patient.
    #[arg(long, group = "patients")]
    pub each_file_is_a_patient: bool,
    /// Name of the data set, for model card and report.
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Intended use, in one or two sentences.
    #[arg(long, value_name = "TEXT")]
    pub intended_use: Option<String>,
    /// Intended ages in years, such as 18-120.
    #[arg(long, value_name = "FROM-TO", value_parser = ages)]
    pub ages: Option<[f32; 2]>,
    /// Intended views: PA, AP, LL, RL.
    #[arg(long, value_name = "VIEW", value_delimiter = ',', value_parser = view)]
    pub views: Vec<View>,
    /// Intended modalities: CR, DX, RG.
    #[arg(long, value_name = "MODALITY", value_delimiter = ',', value_parser = modality)]
    pub modalities: Vec<Modality>,
    #[command(flatten)]
    pub provenance: Statements,
    /// Initial weights (safetensors). Default: random.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Name of the bundle. Default: derived from the data set's name.
    #[arg(long, value_name = "NAME")]
    pub bundle_name: Option<String>,
    /// Ed25519 private key that signs the bundle (PKCS#8 PEM). Created with its public key if it does not
    /// exist.
    #[arg(long, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// Ledger of evaluations on the test fold. Default: test-split-ledger.jsonl beside the run directory.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

/// Statements about the data, for `trainer.provenance`.
#[derive(Debug, Clone, Default, Args)]
pub struct Statements {
    /// Where the images come from.
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Licence or agreement under which they are used.
    #[arg(long, value_name = "TEXT")]
    pub licence: Option<String>,
    /// Citation.
    #[arg(long, value_name = "TEXT")]
    pub citation: Option<String>,
    /// Who the patients are.
    #[arg(long, value_name = "TEXT")]
    pub population: Option<String>,
    /// Where the images were acquired.
    #[arg(long, value_name = "TEXT")]
    pub institutions: Option<String>,
    /// Acquisition: projection, devices, conversion of the files.
    #[arg(long, value_name = "TEXT")]
    pub acquisition: Option<String>,
    /// Who labelled the images, and how.
    #[arg(long, value_name = "TEXT")]
    pub label_method: Option<String>,
    /// Consent, ethics approval, anonymisation.
    #[arg(long, value_name = "TEXT")]
    pub consent_or_ethics: Option<String>,
    /// Anything else readers must know.
    #[arg(long, value_name = "TEXT")]
    pub notes: Option<String>,
}

fn class(text: &str) -> Result<(String, Label)> {
    let (name, meaning) =
        text.rsplit_once('=').context("write NAME=negative, NAME=positive or NAME=exclude")?;
    Ok((name.to_owned(), label(meaning)?))
}

pub(super) fn label(text: &str) -> Result<Label> {
    let labels = [Label::Negative, Label::Positive, Label::Exclude];
    let found = labels.into_iter().find(|label| label.name().eq_ignore_ascii_case(text.trim()));
    found.with_context(|| format!("{text:?} is not negative, positive or exclude"))
}

pub(super) fn ages(text: &str) -> Result<[f32; 2]> {
    let parts = text.split_once('-').context("write two ages in years, such as 18-120")?;
    let age =
        |text: &str| text.trim().parse::<f32>().with_context(|| format!("{text:?} is not an age in years"));
    let [youngest, oldest] = [age(parts.0)?, age(parts.1)?];
    ensure!(0.0 <= youngest && youngest <= oldest, "{text:?}: write the younger age first");
    Ok([youngest, oldest])
}

pub(super) fn view(text: &str) -> Result<View> {
    let found = View::ALL.into_iter().find(|view| view.name().eq_ignore_ascii_case(text.trim()));
    found.with_context(|| format!("{text:?} is not PA, AP, LL or RL"))
}

pub(super) fn modality(text: &str) -> Result<Modality> {
    let found = Modality::ALL.into_iter().find(|modality| modality.name().eq_ignore_ascii_case(text.trim()));
    found.with_context(|| format!("{text:?} is not CR, DX or RG"))
}
