//! `service.patients`: what the site states about all its patients, for images that state nothing themselves.

use super::values::{Checked, Rule, ensure, rules};
use cxr::intended_use::SitePatients;
use cxr::metadata::{MAX_AGE_YEARS, Modality, View};
use serde::{Deserialize, Serialize};

/// The site's patients. Audit rows mark every value that comes from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientsConfig {
    pub age_years: Option<Checked<AgeRange>>,
    pub views: Vec<View>,
    pub modalities: Vec<Modality>,
}

rules! {
    /// Two ages in years, the lower one first.
    AgeRange([f32; 2]): "use the youngest and the oldest age in years, such as [1, 5], or null",
        |[youngest, oldest]| {
            let rises = (0.0..=MAX_AGE_YEARS).contains(youngest) && (*youngest..=MAX_AGE_YEARS).contains(oldest);
            ensure(rises, "out of range")
        };
}

impl PatientsConfig {
    /// In the form that the intended use is compared with.
    pub fn stated(&self) -> SitePatients {
        SitePatients {
            age_years: self.age_years.as_deref().copied(),
            views: self.views.clone(),
            modalities: self.modalities.clone(),
        }
    }
}
