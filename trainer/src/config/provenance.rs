//! `trainer.provenance`: facts about the data and the initial weights that only a person can state. Card and
//! report print them verbatim, and "not stated" if one is missing.

use serde::{Deserialize, Serialize};

pub const NOT_STATED: &str = "not stated";

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    pub source: Option<String>,
    pub licence: Option<String>,
    pub citation: Option<String>,
    pub population: Option<String>,
    pub institutions: Option<String>,
    pub acquisition: Option<String>,
    pub label_method: Option<String>,
    pub consent_or_ethics: Option<String>,
    pub originals: Option<String>,
    pub notes: Option<String>,
    pub weights_source: Option<String>,
    pub weights_licence: Option<String>,
    pub model_licence: Option<String>,
    pub contact: Option<String>,
    pub limitations: Vec<String>,
}

pub fn stated(statement: Option<&String>) -> &str {
    statement.map_or(NOT_STATED, |text| text.trim())
}

impl Provenance {
    /// Statements about the data, by title.
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

    /// Origin and licence of the initial weights in `file`.
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
