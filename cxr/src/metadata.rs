//! View, modality and age of an acquisition, as a client or a file states them; parsed strictly.

use crate::reject::{RejectReason, Rejection};
use serde::{Deserialize, Serialize};

/// Oldest valid age.
pub const MAX_AGE_YEARS: f32 = 120.0;

/// Projection of a chest radiograph (DICOM View Position 0018,5101).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum View {
    /// Posteroanterior.
    Pa,
    /// Anteroposterior.
    Ap,
    /// Left lateral.
    Ll,
    /// Right lateral.
    Rl,
}

/// Modality (DICOM 0008,0060), limited to those that produce projection radiographs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Modality {
    /// Computed radiography.
    Cr,
    /// Digital radiography.
    Dx,
    /// Radiographic imaging (scanned film).
    Rg,
}

impl View {
    /// All terms.
    pub const ALL: [Self; 4] = [Self::Pa, Self::Ap, Self::Ll, Self::Rl];

    /// DICOM term.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pa => "PA",
            Self::Ap => "AP",
            Self::Ll => "LL",
            Self::Rl => "RL",
        }
    }
}

impl Modality {
    /// All terms.
    pub const ALL: [Self; 3] = [Self::Cr, Self::Dx, Self::Rg];

    /// DICOM term.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cr => "CR",
            Self::Dx => "DX",
            Self::Rg => "RG",
        }
    }
}

/// Metadata of an acquisition; every field is optional.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcquisitionMetadata {
    /// Age in years at acquisition, 0 to 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_years: Option<f32>,
    /// Projection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modality: Option<Modality>,
}

impl AcquisitionMetadata {
    /// Parses the fields of a request. Age is in years ("7", "0.5") or a DICOM age string ("006M", "012W",
    /// "030D", "045Y").
    ///
    /// # Errors
    /// `InvalidMetadata` naming the field. The value is not repeated: it may be an identifier in the wrong
    /// field.
    pub fn parse(age: Option<&str>, view: Option<&str>, modality: Option<&str>) -> Result<Self, Rejection> {
        Ok(Self {
            age_years: age.map(parse_age).transpose()?,
            view: view.map(parse_view).transpose()?,
            modality: modality.map(parse_modality).transpose()?,
        })
    }

    /// Fills missing fields from the file's metadata.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        Self {
            age_years: self.age_years.or(file.age_years),
            view: self.view.or(file.view),
            modality: self.modality.or(file.modality),
        }
    }
}

fn invalid(found: &str, advice: &'static str) -> Rejection {
    Rejection::new(RejectReason::InvalidMetadata, found, advice)
}

fn parse_age(text: &str) -> Result<f32, Rejection> {
    const ADVICE: &str =
        "give the age in years between 0 and 120, or a DICOM age string such as 045Y, 006M, 012W or 030D";
    let text = text.trim();
    let (digits, per_year) = match text.as_bytes().last() {
        Some(b'Y') => (&text[..text.len() - 1], 1.0),
        Some(b'M') => (&text[..text.len() - 1], 12.0),
        Some(b'W') => (&text[..text.len() - 1], 52.1775),
        Some(b'D') => (&text[..text.len() - 1], 365.2425),
        _ => (text, 1.0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let years = digits.parse::<f32>().ok().filter(|_| plain).map(|value| value / per_year);
    years
        .filter(|years| (0.0..=MAX_AGE_YEARS).contains(years))
        .ok_or_else(|| invalid("the field age is not an age between 0 and 120 years", ADVICE))
}

fn parse_view(text: &str) -> Result<View, Rejection> {
    match text.trim().to_ascii_uppercase().as_str() {
        "PA" => Ok(View::Pa),
        "AP" => Ok(View::Ap),
        "LL" => Ok(View::Ll),
        "RL" => Ok(View::Rl),
        _ => Err(invalid("the field view is not one of PA, AP, LL, RL", "use the DICOM View Position terms")),
    }
}

fn parse_modality(text: &str) -> Result<Modality, Rejection> {
    match text.trim().to_ascii_uppercase().as_str() {
        "CR" => Ok(Modality::Cr),
        "DX" => Ok(Modality::Dx),
        "RG" => Ok(Modality::Rg),
        _ => Err(invalid(
            "the field modality is not one of CR, DX, RG",
            "only projection radiographs are supported; use the DICOM Modality terms",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_in_years_and_as_dicom_age_strings() {
        let age = |text| AcquisitionMetadata::parse(Some(text), None, None).map(|m| m.age_years.unwrap());
        for (text, years) in
            [("7", 7.0), ("0.5", 0.5), ("045Y", 45.0), ("006M", 0.5), ("0", 0.0), ("120", 120.0)]
        {
            assert!((age(text).unwrap() - years).abs() < 1e-6, "{text}");
        }
        assert!((age("365D").unwrap() - 1.0).abs() < 0.01);
        for text in ["", "-1", "121", "NaN", "inf", "1e1", "Y", "seven", "12 years", "\u{661}Y", "é"] {
            let error = age(text).unwrap_err();
            assert_eq!(error.reason, RejectReason::InvalidMetadata, "{text}");
            assert!(text.is_empty() || !error.to_string().contains(text) || text.len() < 3, "{error}");
        }
    }

    #[test]
    fn views_and_modalities_are_dicom_terms() {
        let ok = AcquisitionMetadata::parse(None, Some("pa"), Some("DX")).unwrap();
        assert_eq!((ok.view, ok.modality), (Some(View::Pa), Some(Modality::Dx)));
        assert!(AcquisitionMetadata::parse(None, Some("frontal"), None).is_err());
        assert!(AcquisitionMetadata::parse(None, None, Some("MR")).is_err());
    }
}
