//! Intended use of a model, and whether an image is known to be within it by the statements of the request,
//! the file or the site.

use crate::metadata::{AcquisitionMetadata, MAX_AGE_YEARS, Modality, View};
use serde::{Deserialize, Serialize};

/// Patients and images that a model is intended for. An absent limit accepts everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntendedUse {
    /// One sentence for readers of the model card.
    pub statement: String,
    /// Youngest and oldest age in years.
    pub age_years: Option<[f32; 2]>,
    /// Accepted projections.
    pub views: Vec<View>,
    /// Accepted modalities.
    pub modalities: Vec<Modality>,
}

/// What a site states about all its patients. Used if neither the client nor the file states it for an image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SitePatients {
    /// Youngest and oldest age in years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_years: Option<[f32; 2]>,
    /// Projections in use; empty if the site states none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<View>,
    /// Modalities in use; empty if the site states none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modalities: Vec<Modality>,
}

impl SitePatients {
    /// The site's statements that apply to an image: those that its own metadata lacks.
    #[must_use]
    pub fn assumed_for(&self, stated: &AcquisitionMetadata) -> Self {
        Self {
            age_years: self.age_years.filter(|_| stated.age_years.is_none()),
            views: if stated.view.is_none() { self.views.clone() } else { Vec::new() },
            modalities: if stated.modality.is_none() { self.modalities.clone() } else { Vec::new() },
        }
    }

    /// Whether these patients are outside the model's intended use, so that every image without metadata is
    /// referred.
    #[must_use]
    pub fn refers_all(&self, intended: &IntendedUse) -> bool {
        intended.suits(&AcquisitionMetadata::default(), self) == Suitability::Outside
    }

    /// Whether the site states nothing.
    pub const fn is_empty(&self) -> bool {
        self.age_years.is_none() && self.views.is_empty() && self.modalities.is_empty()
    }
}

/// Whether an image is within the intended use. Of several checks the greatest value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suitability {
    /// Every limit is known to hold.
    Intended,
    /// No limit is known to be broken, but at least one is not known to hold.
    Unknown,
    /// A limit is known to be broken.
    Outside,
}

impl IntendedUse {
    /// Compares the limits with the statements about an image and with those of its site. A limit that every
    /// image meets (all views, all ages) needs no statement.
    pub fn suits(&self, stated: &AcquisitionMetadata, assumed: &SitePatients) -> Suitability {
        let age = self.age_years.map_or(Suitability::Intended, |limit| {
            let stated = stated.age_years.map(|age| [age, age]);
            within(limit, stated.or(assumed.age_years))
        });
        let view = among(&self.views, &View::ALL, stated.view, &assumed.views);
        let modality = among(&self.modalities, &Modality::ALL, stated.modality, &assumed.modalities);
        age.max(view).max(modality)
    }
}

/// Compares a range of ages with a limit.
fn within([low, high]: [f32; 2], stated: Option<[f32; 2]>) -> Suitability {
    match stated {
        _ if low <= 0.0 && high >= MAX_AGE_YEARS => Suitability::Intended,
        Some([youngest, oldest]) if youngest >= low && oldest <= high => Suitability::Intended,
        Some([youngest, oldest]) if youngest > high || oldest < low => Suitability::Outside,
        _ => Suitability::Unknown,
    }
}

/// Compares a value, or all values of a site, with the values of a limit.
fn among<T: PartialEq + Copy>(limit: &[T], all: &[T], stated: Option<T>, assumed: &[T]) -> Suitability {
    let stated = stated.as_ref().map_or(assumed, std::slice::from_ref);
    if limit.is_empty() || all.iter().all(|value| limit.contains(value)) {
        return Suitability::Intended;
    }
    let n_within = stated.iter().filter(|value| limit.contains(value)).count();
    match n_within {
        _ if stated.is_empty() => Suitability::Unknown,
        n if n == stated.len() => Suitability::Intended,
        0 => Suitability::Outside,
        _ => Suitability::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children() -> IntendedUse {
        IntendedUse {
            statement: "children, AP".into(),
            age_years: Some([1.0, 5.0]),
            views: vec![View::Ap],
            modalities: Modality::ALL.to_vec(),
        }
    }

    fn stated(age: Option<f32>, view: Option<View>) -> AcquisitionMetadata {
        AcquisitionMetadata { age_years: age, view, modality: None }
    }

    fn site(age_years: Option<[f32; 2]>, views: &[View]) -> SitePatients {
        SitePatients { age_years, views: views.to_vec(), modalities: Vec::new() }
    }

    #[test]
    fn an_image_suits_when_every_limit_is_known_to_hold() {
        use Suitability::{Intended, Outside, Unknown};
        let paediatric = site(Some([1.0, 5.0]), &[View::Ap]);
        let general = site(Some([0.0, 90.0]), &[View::Ap, View::Pa]);
        let adults = site(Some([18.0, 90.0]), &[View::Pa]);
        let silent = SitePatients::default();
        for (age, view, site, expected) in [
            (Some(3.0), Some(View::Ap), &silent, Intended),
            (Some(3.0), None, &silent, Unknown),
            (None, Some(View::Ap), &silent, Unknown),
            (None, None, &silent, Unknown),
            (Some(45.0), None, &silent, Outside),
            (Some(3.0), Some(View::Ll), &silent, Outside),
            (None, None, &paediatric, Intended),
            (None, None, &general, Unknown),
            (Some(3.0), Some(View::Ap), &general, Intended),
            (None, None, &adults, Outside),
            // Statements about the image override the site's.
            (Some(45.0), Some(View::Ap), &paediatric, Outside),
            (Some(3.0), Some(View::Ap), &adults, Intended),
        ] {
            let stated = stated(age, view);
            let found = children().suits(&stated, &site.assumed_for(&stated));
            assert_eq!(found, expected, "{age:?} {view:?} {site:?}");
        }
    }

    #[test]
    fn limits_that_every_image_meets_need_no_statement() {
        let anyone = IntendedUse {
            statement: "anyone".into(),
            age_years: Some([0.0, 120.0]),
            views: View::ALL.to_vec(),
            modalities: Vec::new(),
        };
        let nothing = AcquisitionMetadata::default();
        assert_eq!(anyone.suits(&nothing, &SitePatients::default()), Suitability::Intended);
    }

    #[test]
    fn only_what_the_image_leaves_out_is_assumed() {
        let site = site(Some([1.0, 5.0]), &[View::Ap]);
        let assumed = site.assumed_for(&stated(Some(3.0), None));
        assert_eq!((assumed.age_years, assumed.views.as_slice()), (None, &[View::Ap][..]));
        assert!(site.assumed_for(&stated(Some(3.0), Some(View::Pa))).is_empty());
    }
}
