//! `service.patients`: what the site states of all its patients. It counts where neither the caller nor the file says it of an
//! image, and every row that relies on it says so.

use super::problem::Problem;
use super::require;
use cxr::intended_use::SitePatients;
use cxr::metadata::{MAX_AGE_YEARS, Modality, View};
use serde::{Deserialize, Serialize};

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatientsSection {
    age_years: Option<[f32; 2]>,
    views: Vec<View>,
    modalities: Vec<Modality>,
}

impl PatientsSection {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) -> SitePatients {
        let rises = |[youngest, oldest]: [f32; 2]| {
            (0.0..=MAX_AGE_YEARS).contains(&youngest) && (youngest..=MAX_AGE_YEARS).contains(&oldest)
        };
        let advice = "use the youngest and the oldest age in years, such as [1, 5], or null";
        require(problems, self.age_years.is_none_or(rises), "patients.age_years", "out of range", advice);
        let Self { age_years, views, modalities } = self;
        SitePatients { age_years: *age_years, views: views.clone(), modalities: modalities.clone() }
    }
}
