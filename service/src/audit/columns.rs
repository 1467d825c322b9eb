//! A row as its table has it: flat, under the columns' names. What is inserted and what the leaf in the tree is made of are
//! the same values.

use super::row::{ENCODING_VERSION, Outcome, PredictionRow, StoredPrediction};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use time::OffsetDateTime;
use time::macros::format_description;
use tlog_tiles::{Hash, record_hash};
use uuid::Uuid;

/// One row without `recorded_at`, which the database adds.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "each field is the column of its name; migrations/0001_predictions.sql and 0011_refer.sql describe them"
)]
pub struct Columns<'a> {
    pub id: Uuid,
    pub request_id: &'a str,
    #[serde(serialize_with = "as_microseconds")]
    pub received_at: OffsetDateTime,
    pub actor: &'a str,
    pub site: &'a str,
    /// Left out where there is none, as it was before version 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Hexadecimal<'a>>,
    pub encoding_version: i16,
    pub outcome: &'a str,
    pub reason: Option<&'a str>,
    #[serde(serialize_with = "as_hexadecimal")]
    pub input_digest: Cow<'a, [u8]>,
    pub input_bytes: i64,
    pub format: Option<&'a str>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub significant_bits: Option<i16>,
    pub colour: Option<&'a str>,
    /// This and the other columns of version 5 are left out where there is none, as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<i16>,
    pub age_years: Option<f32>,
    pub view: Option<&'a str>,
    pub modality: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<Cow<'a, Value>>,
    pub statistics_version: Option<i16>,
    pub image_statistics: Option<Cow<'a, Value>>,
    pub model_name: Option<&'a str>,
    pub model_version: Option<&'a str>,
    pub bundle_digest: Option<&'a str>,
    pub variant: Option<&'a str>,
    pub execution: Option<&'a Value>,
    pub policy_digest: Option<&'a str>,
    pub logit: Option<f64>,
    pub probability: Option<f64>,
    pub confidence: Option<f64>,
    pub threshold: Option<f64>,
    pub decision: Option<&'a str>,
    pub review_required: Option<bool>,
    pub decision_reason: Option<&'a str>,
    pub ood_score: Option<f64>,
    pub embedding_coordinates: Option<&'a [f32]>,
    pub cam: Option<&'a [f32]>,
    pub cam_width: Option<i16>,
    pub cam_height: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heatmap_low: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heatmap_high: Option<f32>,
    pub timings: Cow<'a, Value>,
}

/// Bytes that are written in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct Hexadecimal<'a>(pub &'a [u8]);

impl Serialize for Hexadecimal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'a> Columns<'a> {
    /// Of a row to be written.
    pub fn of(row: &'a PredictionRow) -> Self {
        let (image, statistics) = (row.observed.image.as_ref(), row.observed.statistics.as_ref());
        let (metadata, model) = (&row.observed.metadata, row.outcome.model());
        let scores = match &row.outcome {
            Outcome::Predicted { scores, .. } => Some(scores),
            Outcome::Rejected { .. } | Outcome::Expired { .. } | Outcome::Failed { .. } => None,
        };
        let assumed = scores.map(|scores| &scores.assumed).filter(|assumed| !assumed.is_empty());
        let heatmap = scores.and_then(|scores| scores.heatmap_scale);
        Self {
            id: row.id,
            request_id: &row.request_id,
            received_at: row.received_at,
            actor: &row.actor,
            site: &row.site,
            subject: row.subject.as_ref().map(|subject| Hexadecimal(subject)),
            encoding_version: ENCODING_VERSION,
            outcome: row.outcome.code(),
            reason: row.outcome.reason(),
            input_digest: Cow::Borrowed(&row.input_digest),
            input_bytes: row.input_bytes,
            format: image.map(|image| image.format.name()),
            width: image.map(|image| image.width),
            height: image.map(|image| image.height),
            significant_bits: image.map(|image| i16::from(image.significant_bits)),
            colour: image.map(|image| image.colour.name()),
            orientation: image.map(|image| i16::from(image.orientation.tag())),
            age_years: metadata.age_years,
            view: metadata.view.map(cxr::metadata::View::name),
            modality: metadata.modality.map(cxr::metadata::Modality::name),
            assumed: assumed.map(|assumed| Cow::Owned(json(assumed))),
            statistics_version: statistics.map(|_| cxr::statistics::VERSION as i16),
            image_statistics: statistics.map(|statistics| Cow::Owned(json(statistics))),
            model_name: model.map(|model| model.name.as_str()),
            model_version: model.map(|model| model.version.as_str()),
            bundle_digest: model.map(|model| model.bundle_digest.as_str()),
            variant: model.map(|model| model.variant.as_str()),
            execution: model.map(|model| &*model.execution),
            policy_digest: scores.map(|scores| scores.policy_digest.as_str()),
            logit: scores.map(|scores| scores.logit),
            probability: scores.map(|scores| scores.probability.value()),
            confidence: scores.map(|scores| scores.decision.confidence),
            threshold: scores.map(|scores| scores.threshold),
            decision: scores.map(|scores| scores.decision.verdict.code()),
            review_required: scores.map(|scores| scores.decision.review_required),
            decision_reason: scores.map(|scores| scores.decision.reason.code()),
            ood_score: scores.map(|scores| scores.ood_score),
            embedding_coordinates: scores.map(|scores| scores.embedding_coordinates.as_slice()),
            cam: scores.map(|scores| scores.cam.as_slice()),
            cam_width: scores.map(|scores| scores.cam_size.0 as i16),
            cam_height: scores.map(|scores| scores.cam_size.1 as i16),
            heatmap_low: heatmap.map(|scale| scale.low),
            heatmap_high: heatmap.map(|scale| scale.high),
            timings: Cow::Owned(json(&row.timings)),
        }
    }

    /// What goes into the tree.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn digests(&self) -> serde_json::Result<Digests> {
        Ok(Digests::of(self.id, self.encoding_version, &self.canonical()?))
    }

    /// The canonical form (RFC 8785): what the leaf is made of, and what an export holds.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn canonical(&self) -> serde_json::Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self)
    }
}

/// First version whose leaves bind the id apart from the rest.
const BOUND: i16 = 4;

/// What of a row is in the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Digests {
    /// SHA-256 of the canonical form. Together with the id it makes the leaf again when the row itself is gone; of rows
    /// before version 4 it does not.
    pub row_hash: Option<Hash>,
    /// The leaf.
    pub leaf_hash: Hash,
}

impl Digests {
    /// Of a canonical form. Up to version 3 it is the entry in the tree itself (RFC 9162, 2.1.1).
    pub fn of(id: Uuid, encoding_version: i16, canonical: &[u8]) -> Self {
        if encoding_version < BOUND {
            return Self { row_hash: None, leaf_hash: record_hash(canonical) };
        }
        let row_hash = Hash(Sha256::digest(canonical).into());
        Self { row_hash: Some(row_hash), leaf_hash: bound_leaf(id, &row_hash) }
    }

    /// Whether they are of a row of this id; of rows before version 4 nothing shows that.
    pub fn bind(&self, id: Uuid) -> bool {
        self.row_hash.is_some_and(|row_hash| bound_leaf(id, &row_hash) == self.leaf_hash)
    }
}

/// The leaf since version 4: SHA-256 of a zero byte, the id's 16 bytes and the row's digest.
fn bound_leaf(id: Uuid, row_hash: &Hash) -> Hash {
    record_hash(&[id.as_bytes().as_slice(), &row_hash.0].concat())
}

impl<'a> From<&'a StoredPrediction> for Columns<'a> {
    fn from(row: &'a StoredPrediction) -> Self {
        Self {
            id: row.id,
            request_id: &row.request_id,
            received_at: row.received_at,
            actor: &row.actor,
            site: &row.site,
            subject: row.subject.as_deref().map(Hexadecimal),
            encoding_version: row.encoding_version,
            outcome: &row.outcome,
            reason: row.reason.as_deref(),
            input_digest: Cow::Borrowed(&row.input_digest),
            input_bytes: row.input_bytes,
            format: row.format.as_deref(),
            width: row.width,
            height: row.height,
            significant_bits: row.significant_bits,
            colour: row.colour.as_deref(),
            orientation: row.orientation,
            age_years: row.age_years,
            view: row.view.as_deref(),
            modality: row.modality.as_deref(),
            assumed: row.assumed.as_ref().map(Cow::Borrowed),
            statistics_version: row.statistics_version,
            image_statistics: row.image_statistics.as_ref().map(Cow::Borrowed),
            model_name: row.model_name.as_deref(),
            model_version: row.model_version.as_deref(),
            bundle_digest: row.bundle_digest.as_deref(),
            variant: row.variant.as_deref(),
            execution: row.execution.as_ref(),
            policy_digest: row.policy_digest.as_deref(),
            logit: row.logit,
            probability: row.probability,
            confidence: row.confidence,
            threshold: row.threshold,
            decision: row.decision.as_deref(),
            review_required: row.review_required,
            decision_reason: row.decision_reason.as_deref(),
            ood_score: row.ood_score,
            embedding_coordinates: row.embedding_coordinates.as_deref(),
            cam: row.cam.as_deref(),
            cam_width: row.cam_width,
            cam_height: row.cam_height,
            heatmap_low: row.heatmap_low,
            heatmap_high: row.heatmap_high,
            timings: Cow::Borrowed(&row.timings),
        }
    }
}

/// Numbers and names only: nothing of it can fail.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// As Postgres keeps a moment: microseconds, and always six digits of them.
fn as_microseconds<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&microseconds(*at))
}

/// A moment in UTC with six digits of its second, by truncation.
pub(super) fn microseconds(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
}

fn as_hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

#[cfg(test)]
mod tests;
