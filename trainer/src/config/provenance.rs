//! `trainer.provenance`: what a person knows of the data and of the first weights. No command can measure it, so card and
//! report print it word for word, and "not stated" where it is missing.

use serde::{Deserialize, Serialize};

/// What stands where nothing is stated.
pub const NOT_STATED: &str = "not stated";

/// `provenance`: what only a person can state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Where the images come from.
    pub source: Option<String>,
    /// Under which licence or agreement they are used.
    pub licence: Option<String>,
    /// How to cite them.
    pub citation: Option<String>,
    /// Who the patients are.
    pub population: Option<String>,
    /// Where the images were made.
    pub institutions: Option<String>,
    /// How: projection, devices, how the files were made.
    pub acquisition: Option<String>,
    /// Who gave the labels, and how.
    pub label_method: Option<String>,
    /// Consent, ethics approval, anonymisation.
    pub consent_or_ethics: Option<String>,
    /// What the images in `export.originals` are.
    pub originals: Option<String>,
    /// Anything else that a reader must know.
    pub notes: Option<String>,
    /// Where the weights come from that training began with.
    pub weights_source: Option<String>,
    /// Their licence.
    pub weights_licence: Option<String>,
    /// Licence of the weights that this configuration trains.
    pub model_licence: Option<String>,
    /// Whom to ask about the model.
    pub contact: Option<String>,
    /// What the model must not be trusted with, for reasons that no figure shows: one sentence each.
    pub limitations: Vec<String>,
}

/// A statement, or that there is none.
pub fn stated(statement: Option<&String>) -> &str {
    statement.map_or(NOT_STATED, |text| text.trim())
}

impl Provenance {
    /// What is stated of the data, by name.
    pub fn of_data(&self) -> Vec<(&'static str, &str)> {
        let mut lines = vec![
            ("Source", stated(self.source.as_ref())),
            ("Licence", stated(self.licence.as_ref())),
            ("Citation", stated(self.citation.as_ref())),
            ("Population", stated(self.population.as_ref())),
            ("Institutions", stated(self.institutions.as_ref())),
            ("Acquisition", stated(self.acquisition.as_ref())),
            ("Labels", stated(self.label_method.as_ref())),
            ("Consent or ethics approval", stated(self.consent_or_ethics.as_ref())),
        ];
        lines.extend(self.notes.as_deref().map(|notes| ("Notes", notes.trim())));
        lines
    }

    /// Where the first weights come from, with their licence; `file` is the file that training began with.
    pub fn of_weights(&self, file: Option<&str>) -> String {
        match file {
            None => "none: training began with random weights".to_owned(),
            Some(file) => format!(
                "`{file}`; source: {}; licence: {}",
                stated(self.weights_source.as_ref()),
                stated(self.weights_licence.as_ref())
            ),
        }
    }
}
