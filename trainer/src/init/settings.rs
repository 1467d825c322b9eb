//! Collects the settings of the configuration from options, questions and the inspection.

use super::answers::{Answers, Statements, ages, label, modality, view};
use super::inspection::Inspection;
use super::questions::Questions;
use crate::config::data::{Label, grouped};
use crate::config::did_you_mean;
use crate::data::guess::{Guess, guess};
use crate::data::patient::known;
use crate::data::table;
use crate::progress::say;
use anyhow::{Context, Result, bail, ensure};
use cxr::metadata::{Modality, View};
use std::path::{Path, PathBuf};

const EXAMPLES: usize = 5;
const EACH_FILE: &str = "each-file";

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) classes: Vec<(String, Label)>,
    pub(super) patients: Patients,
    pub(super) name: String,
    pub(super) intended_use: String,
    pub(super) ages: Option<[f32; 2]>,
    pub(super) views: Vec<View>,
    pub(super) modalities: Vec<Modality>,
    pub(super) statements: Statements,
    pub(super) weights: Option<PathBuf>,
    pub(super) bundle_name: String,
    pub(super) signing_key: PathBuf,
    pub(super) ledger: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Patients {
    KnownNames,
    Pattern(String),
    Table(PathBuf),
    EachFile,
}

/// Asks for missing options.
pub(super) fn settings(
    inspection: &Inspection,
    answers: &Answers,
    questions: &mut Questions,
) -> Result<Settings> {
    let table = table(inspection, answers, questions)?;
    let classes = classes(inspection, answers, table.as_deref(), questions)?;
    let patients = match table {
        Some(table) => Some(Patients::Table(table)),
        None => patients(inspection, &classes, answers, questions)?,
    };
    let name = questions.required(
        answers.name.clone(),
        "--name",
        "Name of the data set, for model card and report?",
        None,
        |text| Ok(text.to_owned()),
    )?;
    let intended_use = questions.required(
        answers.intended_use.clone(),
        "--intended-use",
        "Intended use of the model, in one or two sentences?",
        None,
        |text| Ok(text.to_owned()),
    )?;
    let ages = questions.optional(answers.ages, "Intended ages in years, such as 18-120?", ages)?;
    let views = questions.optional(
        (!answers.views.is_empty()).then(|| answers.views.clone()),
        "Intended projections (PA, AP, LL, RL; separated by commas)?",
        |text| list(text, view),
    )?;
    let modalities = questions.optional(
        (!answers.modalities.is_empty()).then(|| answers.modalities.clone()),
        "Intended modalities (CR, DX, RG; separated by commas)?",
        |text| list(text, modality),
    )?;
    let statements = statements(&answers.provenance, questions)?;
    let weights = questions.optional(
        answers.weights.as_deref().map(existing).transpose()?,
        "Initial weights (a safetensors file; none: random weights)?",
        |text| existing(Path::new(text)),
    )?;
    let slug = slug(name.as_deref().unwrap_or_default());
    let bundle_name = answers.bundle_name.clone().unwrap_or_else(|| format!("cxr-{slug}"));
    let signing_key = questions.required(
        answers.signing_key.as_deref().map(absolute).transpose()?,
        "--signing-key",
        "Private key to sign the bundle (created if the file does not exist)?",
        Some("cxr-signing-key.pem"),
        |text| absolute(Path::new(text)),
    )?;
    let ledger = questions.optional(
        answers.ledger.as_deref().map(absolute).transpose()?,
        "Ledger of evaluations on the test fold (none: a file beside the run directories)?",
        |text| absolute(Path::new(text)),
    )?;
    questions.check()?;
    let answered = "an answer that was checked";
    Ok(Settings {
        classes,
        patients: patients.context(answered)?,
        name: name.context(answered)?,
        intended_use: intended_use.context(answered)?,
        ages,
        views: views.unwrap_or_default(),
        modalities: modalities.unwrap_or_default(),
        statements,
        weights,
        bundle_name,
        signing_key: signing_key.context(answered)?,
        ledger,
    })
}

/// The table, unless another rule for patients was chosen.
fn table(inspection: &Inspection, answers: &Answers, questions: &mut Questions) -> Result<Option<PathBuf>> {
    if let Some(table) = &answers.table {
        return existing(table).map(Some);
    }
    let table = match inspection.tables.first() {
        Some(table) if answers.patient_pattern.is_none() && !answers.each_file_is_a_patient => {
            let question = format!(
                "{} has the columns file and patient. Use it as the table, yes or no?",
                table.display()
            );
            let option = format!("--table '{}' (or another rule for patients)", table.display());
            let is_used = questions.required(None, &option, &question, Some("yes"), yes)?;
            // A missing answer is reported at the end. Until then, the classes come from the table.
            is_used.unwrap_or(true).then(|| table.clone())
        }
        _ => None,
    };
    ensure!(
        table.is_some() || !inspection.classes.is_empty(),
        "{}: has no class folders. Write a CSV file with the columns file,patient,label (one line per image) and pass it with --table",
        inspection.root.display()
    );
    Ok(table)
}

fn classes(
    inspection: &Inspection,
    answers: &Answers,
    table: Option<&Path>,
    questions: &mut Questions,
) -> Result<Vec<(String, Label)>> {
    let labels = table.map(table::labels).transpose()?.flatten();
    let names: Vec<String> = match labels {
        Some(labels) => labels.into_iter().collect(),
        None => inspection.classes.keys().cloned().collect(),
    };
    for (given, _) in &answers.classes {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(given)) {
            let meant = did_you_mean(given, names.iter().map(String::as_str));
            bail!("--class {given}: the data has no such class{meant}; its classes are {}", names.join(", "));
        }
    }
    let mut classes = Vec::new();
    for name in names {
        let given = answers.classes.iter().find(|(given, _)| given.eq_ignore_ascii_case(&name));
        let label = questions.required(
            given.map(|(_, label)| *label),
            &format!("--class '{name}=negative' (or positive, or exclude)"),
            &format!("Label of the class {name}: negative, positive or exclude?"),
            suggested(&name),
            label,
        )?;
        classes.extend(label.map(|label| (name, label)));
    }
    Ok(classes)
}

fn suggested(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["abnormal", "pneumonia", "positive", "opacity"]) {
        Some("positive")
    } else {
        has(&["normal", "negative", "healthy", "no finding", "no_finding"]).then_some("negative")
    }
}

fn patients(
    inspection: &Inspection,
    classes: &[(String, Label)],
    answers: &Answers,
    questions: &mut Questions,
) -> Result<Option<Patients>> {
    if let Some(pattern) = &answers.patient_pattern {
        return Ok(Some(Patients::Pattern(pattern.clone())));
    }
    if answers.each_file_is_a_patient {
        return Ok(Some(Patients::EachFile));
    }
    let is_excluded =
        |class: &String| classes.iter().any(|(name, label)| name == class && *label == Label::Exclude);
    let used = inspection.paths.iter().filter(|(class, _)| !is_excluded(class));
    let paths: Vec<&str> = used.map(|(_, path)| path.as_str()).collect();
    let is_known = |path: &&str| known(path.rsplit('/').next().unwrap_or_default()).is_some();
    if paths.iter().all(is_known) {
        say("The file names follow a known naming scheme for patients.");
        return Ok(Some(Patients::KnownNames));
    }
    let found = guess(&paths);
    say(format!(
        "Examples of file names: {}",
        paths.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", ")
    ));
    if let Some(Guess { pattern, n_patients }) = &found {
        say(format!(
            "The pattern {pattern} finds {n_patients} patients in {} files; check whether that is right.",
            paths.len()
        ));
    }
    questions.required(
        None,
        "--patient-pattern REGEX, --table FILE or --each-file-is-a-patient",
        &format!(
            "How to find the patient of a file: a regular expression whose first group is the patient, a CSV file with the columns file,patient, or {EACH_FILE} (each file is a patient of its own)?"
        ),
        found.as_ref().map(|guess| guess.pattern.as_str()),
        |text| match text {
            EACH_FILE => Ok(Patients::EachFile),
            _ if text.to_lowercase().ends_with(".csv") => Ok(Patients::Table(existing(Path::new(text))?)),
            _ => {
                grouped("the regular expression", text)?;
                Ok(Patients::Pattern(text.to_owned()))
            }
        },
    )
}

fn statements(given: &Statements, questions: &mut Questions) -> Result<Statements> {
    let mut ask = |given: &Option<String>, question: &str| {
        questions.optional(given.clone(), question, |text| Ok(text.to_owned()))
    };
    Ok(Statements {
        source: ask(&given.source, "Where do the images come from?")?,
        licence: ask(&given.licence, "Under which licence or agreement are they used?")?,
        citation: ask(&given.citation, "How should they be cited?")?,
        population: ask(&given.population, "Who are the patients?")?,
        institutions: ask(&given.institutions, "Where were the images acquired?")?,
        acquisition: ask(
            &given.acquisition,
            "How were they acquired (projection, devices, conversion of the files)?",
        )?,
        label_method: ask(&given.label_method, "Who labelled the images, and how?")?,
        consent_or_ethics: ask(&given.consent_or_ethics, "Consent, ethics approval, anonymisation?")?,
        notes: ask(&given.notes, "Anything else readers must know?")?,
    })
}

fn yes(answer: &str) -> Result<bool> {
    match answer.to_lowercase().as_str() {
        "yes" | "y" => Ok(true),
        "no" | "n" => Ok(false),
        _ => bail!("{answer:?} is not yes or no"),
    }
}

fn list<T>(answer: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    answer.split(',').map(parse).collect()
}

/// The absolute path of a file that must exist: the configuration can be used from any folder.
fn existing(file: &Path) -> Result<PathBuf> {
    file.canonicalize().with_context(|| format!("{}: no such file", file.display()))
}

fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("{}: not a path", file.display()))
}

/// Lower-case words joined by hyphens, for folders and registries.
fn slug(name: &str) -> String {
    let lower: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let parts: Vec<&str> = lower.split('-').filter(|part| !part.is_empty()).take(4).collect();
    if parts.is_empty() { "model".to_owned() } else { parts.join("-") }
}
