//! The sentence of the card about what an intended use excludes.

use cxr::intended_use::IntendedUse;
use cxr::metadata::{MAX_AGE_YEARS, View};

pub(super) fn out_of_scope(intended: &IntendedUse) -> String {
    let views: Vec<&str> = intended.views.iter().map(|view| view.name()).collect();
    let modalities: Vec<&str> = intended.modalities.iter().map(|modality| modality.name()).collect();
    let mut excluded: Vec<String> = intended.age_years.map(ages).into_iter().flatten().collect();
    // `View::ALL` is complete, so naming all of it sets no limit. Other modalities exist.
    if !views.is_empty() && views.len() < View::ALL.len() {
        excluded.push(format!("projections other than {}", list(&views)));
    }
    if !modalities.is_empty() {
        excluded.push(format!("modalities other than {}", list(&modalities)));
    }
    let unlimited: Vec<&str> = [
        ("age", intended.age_years.is_none_or(|range| ages(range).is_empty())),
        ("projection", views.is_empty() || views.len() == View::ALL.len()),
        ("modality", modalities.is_empty()),
    ]
    .into_iter()
    .filter_map(|(what, is_unlimited)| is_unlimited.then_some(what))
    .collect();
    if excluded.is_empty() {
        return "Out of scope: the intended use states no limit.".to_owned();
    }
    let note = if unlimited.is_empty() {
        String::new()
    } else {
        format!(" It states no limit of {}.", unlimited.join(" or "))
    };
    format!("Out of scope: {}.{note}", excluded.join("; "))
}

fn ages([low, high]: [f32; 2]) -> Vec<String> {
    let younger = (low > 0.0).then(|| format!("patients under the age of {low}"));
    let older = (high < MAX_AGE_YEARS).then(|| format!("patients over the age of {high}"));
    younger.into_iter().chain(older).collect()
}

fn list(names: &[&str]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::metadata::Modality;

    fn intended(age_years: Option<[f32; 2]>, views: &[View], modalities: &[Modality]) -> IntendedUse {
        IntendedUse {
            statement: String::new(),
            age_years,
            views: views.to_vec(),
            modalities: modalities.to_vec(),
        }
    }

    #[test]
    fn limits_are_stated_as_exclusions() {
        let adults = intended(Some([18.0, 120.0]), &[View::Pa, View::Ap], &[Modality::Dx]);
        assert_eq!(
            out_of_scope(&adults),
            "Out of scope: patients under the age of 18; projections other than PA and AP; modalities other than DX."
        );
        let children = intended(Some([1.0, 5.5]), &[], &Modality::ALL);
        assert_eq!(
            out_of_scope(&children),
            "Out of scope: patients under the age of 1; patients over the age of 5.5; modalities other than CR, DX and RG. \
             It states no limit of projection."
        );
        assert_eq!(
            out_of_scope(&intended(None, &View::ALL, &[])),
            "Out of scope: the intended use states no limit."
        );
    }
}
