//! What an audit row holds, as types in which a row that the table would refuse cannot be written down.

use super::columns::{Columns, Digests};
use super::keyed::SiteKey;
use super::repeats::{Kept, SealedAnswer};
use cxr::heatmap::ColourScale;
use cxr::image::{ColourMode, DecodedImage, Format, Orientation};
use cxr::intended_use::SitePatients;
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;
use cxr::{Decision, Probability, RejectReason};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// How a row is to be read, and how its canonical form is made; raised when either changes. Rows of version 1 have no
/// leaf, those of version 2 no `subject`, and up to version 3 the leaf is that of the form alone. Since version 5 a row has
/// `orientation`, `assumed` and the heatmap's scale, and its decision can be `refer`.
pub const ENCODING_VERSION: i16 = 5;

/// One image's row, to be written.
#[derive(Debug)]
pub struct PredictionRow {
    /// UUIDv7 of the image.
    pub id: Uuid,
    /// Groups the images of one request.
    pub request_id: String,
    /// When the request began.
    pub received_at: OffsetDateTime,
    /// Subject of the token.
    pub actor: String,
    /// Site from the configuration.
    pub site: String,
    /// Pseudonym of the person, where an identifier was given.
    pub subject: Option<[u8; 32]>,
    /// Keyed digest of the upload.
    pub input_digest: [u8; 32],
    /// Length of the upload.
    pub input_bytes: i64,
    /// What was found out about the image, as far as it got.
    pub observed: Observed,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds by phase.
    pub timings: Timings,
}

/// A row with its leaf: nothing of it changes any more.
#[derive(Debug)]
pub struct SealedRow {
    row: PredictionRow,
    digests: Digests,
    code: [u8; 32],
    answer: Option<SealedAnswer>,
}

/// The keys by which what is written is known as the service's own.
pub struct Seals {
    /// Of leaves.
    pub leaf: SiteKey,
    /// Of kept answers.
    pub answer: SiteKey,
}

impl PredictionRow {
    /// Computes the leaf, and the code by which it is known as the service's own. What is `kept` is committed with the row, and
    /// is no part of it.
    ///
    /// # Errors
    /// When a number is not finite: such a row cannot be written down.
    pub fn seal(self, seals: &Seals, kept: Option<Kept>) -> serde_json::Result<SealedRow> {
        let digests = Columns::of(&self).digests()?;
        let code = seals.leaf.digest(&digests.leaf_hash.0);
        let answer = |kept| SealedAnswer::new(&seals.answer, kept, self.id, &digests.leaf_hash);
        let answer = kept.map(answer).transpose()?;
        Ok(SealedRow { row: self, digests, code, answer })
    }
}

impl SealedRow {
    /// The row.
    pub const fn row(&self) -> &PredictionRow {
        &self.row
    }

    /// What of it is in the tree.
    pub const fn digests(&self) -> &Digests {
        &self.digests
    }

    /// HMAC of its leaf.
    pub const fn code(&self) -> &[u8; 32] {
        &self.code
    }

    /// The answer that is kept under its request's key.
    pub const fn answer(&self) -> Option<&SealedAnswer> {
        self.answer.as_ref()
    }
}

/// What is known of an image before the model sees it.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Present once it was decoded.
    pub image: Option<ImageFacts>,
    /// What the caller or the file stated.
    pub metadata: AcquisitionMetadata,
    /// Present once it was preprocessed.
    pub statistics: Option<ImageStatistics>,
}

/// The decoded image without its pixels.
#[derive(Debug, Clone, Copy)]
pub struct ImageFacts {
    /// Container.
    pub format: Format,
    /// Columns.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Bits that carry information.
    pub significant_bits: u8,
    /// Colour before conversion.
    pub colour: ColourMode,
    /// How the file says that its pixels are stored.
    pub orientation: Orientation,
}

impl From<&DecodedImage> for ImageFacts {
    fn from(image: &DecodedImage) -> Self {
        Self {
            format: image.format(),
            width: image.width() as i32,
            height: image.height() as i32,
            significant_bits: image.significant_bits(),
            colour: image.colour(),
            orientation: image.orientation(),
        }
    }
}

/// How one image ended.
#[derive(Debug)]
pub enum Outcome {
    /// The model's answer was given.
    Predicted {
        /// What ran.
        model: ModelIdentity,
        /// What came out.
        scores: Scores,
    },
    /// The image was refused.
    Rejected {
        /// Why.
        reason: RejectReason,
    },
    /// It came too late, or its client had gone, before the model ran.
    Expired {
        /// What was meant to run.
        model: ModelIdentity,
        /// Stable code.
        reason: &'static str,
    },
    /// Something here broke.
    Failed {
        /// What was meant to run.
        model: ModelIdentity,
        /// Stable code.
        reason: &'static str,
    },
}

impl Outcome {
    /// The column `outcome`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Predicted { .. } => "predicted",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Failed { .. } => "failed",
        }
    }

    /// The column `reason`.
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Predicted { .. } => None,
            Self::Rejected { reason } => Some(reason.code()),
            Self::Expired { reason, .. } | Self::Failed { reason, .. } => Some(reason),
        }
    }

    /// What ran or was meant to run.
    pub const fn model(&self) -> Option<&ModelIdentity> {
        match self {
            Self::Predicted { model, .. } | Self::Expired { model, .. } | Self::Failed { model, .. } => {
                Some(model)
            }
            Self::Rejected { .. } => None,
        }
    }
}

/// Which model, in which form, executed by what.
#[derive(Debug, Clone)]
pub struct ModelIdentity {
    /// Name of the bundle.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its manifest.
    pub bundle_digest: String,
    /// The variant.
    pub variant: String,
    /// Execution fingerprint.
    pub execution: Arc<Value>,
}

/// What came out of the model and what was made of it.
#[derive(Debug)]
pub struct Scores {
    /// SHA-256 of calibration, policy and intended use.
    pub policy_digest: String,
    /// Raw output.
    pub logit: f64,
    /// Calibrated.
    pub probability: Probability,
    /// Operating point in force.
    pub threshold: f64,
    /// Decision with its reason.
    pub decision: Decision,
    /// What of the site's statement about its patients the decision relies on.
    pub assumed: SitePatients,
    /// Distance from the training data.
    pub ood_score: f64,
    /// Coordinates along the bundle's components.
    pub embedding_coordinates: Vec<f32>,
    /// Class activation map, row-major.
    pub cam: Vec<f32>,
    /// Its columns and rows.
    pub cam_size: (u32, u32),
    /// The bundle's colour scale for it.
    pub heatmap_scale: Option<ColourScale>,
}

/// Milliseconds by phase; a phase that was not reached is absent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// From the request's head to the end of its body: the token, a place, and the upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<f64>,
    /// Decoding and the acceptance gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<f64>,
    /// Window, resize, contrast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<f64>,
    /// Waiting for a model thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<f64>,
    /// Running the batch that the image was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infer: Option<f64>,
}

/// A row as it is read back, column by column.
#[derive(Debug, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "each field is the column of its name; migrations/0001_predictions.sql and 0011_refer.sql describe them"
)]
pub struct StoredPrediction {
    pub id: Uuid,
    pub request_id: String,
    pub received_at: OffsetDateTime,
    pub recorded_at: OffsetDateTime,
    pub actor: String,
    pub site: String,
    pub subject: Option<Vec<u8>>,
    pub encoding_version: i16,
    pub outcome: String,
    pub reason: Option<String>,
    pub input_digest: Vec<u8>,
    pub input_bytes: i64,
    pub format: Option<String>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub significant_bits: Option<i16>,
    pub colour: Option<String>,
    pub orientation: Option<i16>,
    pub age_years: Option<f32>,
    pub view: Option<String>,
    pub modality: Option<String>,
    pub assumed: Option<Value>,
    pub statistics_version: Option<i16>,
    pub image_statistics: Option<Value>,
    pub model_name: Option<String>,
    pub model_version: Option<String>,
    pub bundle_digest: Option<String>,
    pub variant: Option<String>,
    pub execution: Option<Value>,
    pub policy_digest: Option<String>,
    pub logit: Option<f64>,
    pub probability: Option<f64>,
    pub confidence: Option<f64>,
    pub threshold: Option<f64>,
    pub decision: Option<String>,
    pub review_required: Option<bool>,
    pub decision_reason: Option<String>,
    pub ood_score: Option<f64>,
    pub embedding_coordinates: Option<Vec<f32>>,
    pub cam: Option<Vec<f32>>,
    pub cam_width: Option<i16>,
    pub cam_height: Option<i16>,
    pub heatmap_low: Option<f32>,
    pub heatmap_high: Option<f32>,
    pub timings: Value,
}
