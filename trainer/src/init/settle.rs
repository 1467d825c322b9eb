//! From answers and questions to everything that a configuration must say.

use super::answers::{Answers, Statements, ages, label, modality, view};
use super::look::Look;
use super::questions::Questions;
use crate::config::data::{Label, grouped};
use crate::config::nearest;
use crate::data::guess::{Guess, guess};
use crate::data::patient::known;
use crate::data::table;
use crate::progress::say;
use anyhow::{Context, Result, bail, ensure};
use cxr::metadata::{Modality, View};
use std::path::{Path, PathBuf};

/// Names that are shown.
const EXAMPLES: usize = 5;
/// The answer "each file is a patient".
const EACH_FILE: &str = "each-file";

/// What the configuration says.
#[derive(Debug)]
pub(super) struct Settled {
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

/// Who the patient of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Patients {
    KnownNames,
    Pattern(String),
    Table(PathBuf),
    EachFile,
}

/// Asks what the command line does not answer.
pub(super) fn settle(look: &Look, answers: &Answers, questions: &mut Questions) -> Result<Settled> {
    let table = chosen_table(look, answers, questions)?;
    let classes = classes(look, answers, table.as_deref(), questions)?;
    let patients = match table {
        Some(table) => Some(Patients::Table(table)),
        None => patients(look, &classes, answers, questions)?,
    };
    let name = match &answers.name {
        Some(name) => Some(name.clone()),
        None => questions.required("--name", "Name of the data set, for card and report?", None, text)?,
    };
    let intended_use = match &answers.intended_use {
        Some(statement) => Some(statement.clone()),
        None => questions.required(
            "--intended-use",
            "Who and what is the model for, in a sentence or two?",
            None,
            text,
        )?,
    };
    let ages = match answers.ages {
        Some(ages) => Some(ages),
        None => questions.optional("For which ages in years, such as 18-120?", ages)?,
    };
    let views = match answers.views.as_slice() {
        [] => questions.optional("For which projections (PA, AP, LL, RL; separated by commas)?", |text| {
            list(text, view)
        })?,
        views => Some(views.to_vec()),
    };
    let modalities = match answers.modalities.as_slice() {
        [] => questions.optional("For which modalities (CR, DX, RG; separated by commas)?", |text| {
            list(text, modality)
        })?,
        modalities => Some(modalities.to_vec()),
    };
    let statements = statements(&answers.provenance, questions)?;
    let weights = match &answers.weights {
        Some(file) => Some(there(file)?),
        None => questions.optional(
            "Weights that training begins with (a safetensors file; none: random ones)?",
            |text| there(Path::new(text)),
        )?,
    };
    let slug = slug(name.as_deref().unwrap_or_default());
    let bundle_name = answers.bundle_name.clone().unwrap_or_else(|| format!("cxr-{slug}"));
    let signing_key = match &answers.signing_key {
        Some(file) => Some(absolute(file)?),
        None => questions.required(
            "--signing-key",
            "Private key that signs the bundle (made where the file is not there)?",
            Some("cxr-signing-key.pem"),
            |text| absolute(Path::new(text)),
        )?,
    };
    let ledger = match &answers.ledger {
        Some(file) => Some(absolute(file)?),
        None => questions.optional(
            "File in which every look at the test fold is entered (none: one beside the run directories)?",
            |text| absolute(Path::new(text)),
        )?,
    };
    questions.check()?;
    let answered = "an answer that was checked";
    Ok(Settled {
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

/// The table, where there is one and the patients are not told otherwise.
fn chosen_table(look: &Look, answers: &Answers, questions: &mut Questions) -> Result<Option<PathBuf>> {
    if let Some(table) = &answers.table {
        return there(table).map(Some);
    }
    let table = match look.tables.first() {
        Some(table) if answers.patient_pattern.is_none() && !answers.each_file_is_a_patient => {
            let question =
                format!("{} has a column file and a column patient. Use it, yes or no?", table.display());
            let option = format!("--table '{}' (or another rule for patients)", table.display());
            let is_used = questions.required(&option, &question, Some("yes"), yes)?;
            // Not answered: refused at the end, with all the rest. Until then it is the table that says the classes.
            is_used.unwrap_or(true).then(|| table.clone())
        }
        _ => None,
    };
    ensure!(
        table.is_some() || !look.classes.is_empty(),
        "{}: has no folders, so nothing says the classes. Write a CSV file with the columns file,patient,label (a line for each image) and give it with --table",
        look.root.display()
    );
    Ok(table)
}

fn classes(
    look: &Look,
    answers: &Answers,
    table: Option<&Path>,
    questions: &mut Questions,
) -> Result<Vec<(String, Label)>> {
    let labels = table.map(table::labels).transpose()?.flatten();
    let names: Vec<String> = match labels {
        Some(labels) => labels.into_iter().collect(),
        None => look.classes.keys().cloned().collect(),
    };
    for (given, _) in &answers.classes {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(given)) {
            let meant = nearest(given, names.iter().map(String::as_str));
            let meant = meant.map_or_else(String::new, |meant| format!(", did you mean {meant}?"));
            bail!("--class {given}: the data has no such class{meant}; its classes are {}", names.join(", "));
        }
    }
    let mut classes = Vec::new();
    for name in names {
        let given = answers.classes.iter().find(|(given, _)| given.eq_ignore_ascii_case(&name));
        let meaning = match given {
            Some((_, label)) => Some(*label),
            None => questions.required(
                &format!("--class '{name}=negative' (or positive, or exclude)"),
                &format!("What does the class {name} count as: negative, positive or exclude?"),
                suggested(&name),
                label,
            )?,
        };
        // What was not answered is refused at the end, with all the rest.
        classes.extend(meaning.map(|meaning| (name, meaning)));
    }
    Ok(classes)
}

/// What a person probably means by a name; only ever a suggestion.
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
    look: &Look,
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
    let used = look.paths.iter().filter(|(class, _)| !is_excluded(class));
    let paths: Vec<&str> = used.map(|(_, path)| path.as_str()).collect();
    let has_known_form = |path: &&str| known(path.rsplit('/').next().unwrap_or_default()).is_some();
    if paths.iter().all(has_known_form) {
        say("The file names have a known form, which tells the patient.");
        return Ok(Some(Patients::KnownNames));
    }
    let found = guess(&paths);
    say(format!(
        "The files are called, for example: {}",
        paths.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", ")
    ));
    if let Some(Guess { pattern, n_patients }) = &found {
        say(format!(
            "The pattern {pattern} finds {n_patients} patients in {} files; look whether that is right.",
            paths.len()
        ));
    }
    questions.required(
        "--patient-pattern REGEX, --table FILE or --each-file-is-a-patient",
        &format!(
            "Who is the patient of a file: a regular expression whose first group is the patient, a CSV file with the columns file,patient, or {EACH_FILE} (each file is a patient of its own)?"
        ),
        found.as_ref().map(|guess| guess.pattern.as_str()),
        |text| match text {
            EACH_FILE => Ok(Patients::EachFile),
            _ if text.to_lowercase().ends_with(".csv") => Ok(Patients::Table(there(Path::new(text))?)),
            _ => {
                grouped("the regular expression", text)?;
                Ok(Patients::Pattern(text.to_owned()))
            }
        },
    )
}

fn statements(given: &Statements, questions: &mut Questions) -> Result<Statements> {
    let mut ask = |given: &Option<String>, question: &str| match given {
        Some(statement) => Ok(Some(statement.clone())),
        None => questions.optional(question, text),
    };
    Ok(Statements {
        source: ask(&given.source, "Where do the images come from?")?,
        licence: ask(&given.licence, "Under which licence or agreement are they used?")?,
        citation: ask(&given.citation, "How are they cited?")?,
        population: ask(&given.population, "Who are the patients?")?,
        institutions: ask(&given.institutions, "Where were the images made?")?,
        acquisition: ask(
            &given.acquisition,
            "How were they made (projection, devices, conversion of the files)?",
        )?,
        label_method: ask(&given.label_method, "Who gave the labels, and how?")?,
        consent_or_ethics: ask(&given.consent_or_ethics, "Consent, ethics approval, anonymisation?")?,
        notes: ask(&given.notes, "Anything else that a reader must know?")?,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "one of several readers of an answer, which can fail")]
fn text(answer: &str) -> Result<String> {
    Ok(answer.to_owned())
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

/// The file's path from the root of the file system: the configuration is used from any folder.
fn there(file: &Path) -> Result<PathBuf> {
    file.canonicalize().with_context(|| format!("{}: no such file", file.display()))
}

fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("{}: not a path", file.display()))
}

/// A name for folders and registries.
fn slug(name: &str) -> String {
    let lower: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let parts: Vec<&str> = lower.split('-').filter(|part| !part.is_empty()).take(4).collect();
    if parts.is_empty() { "model".to_owned() } else { parts.join("-") }
}
