//! The audit row as the API shows it: column by column, under the columns' names.

use crate::store::LabelledPrediction;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// One audit row, without the coordinates of the embedding.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PredictionRecord {
    /// Id of the audit row.
    id: Uuid,
    /// The `X-Request-Id` of the request.
    request_id: String,
    /// When the request arrived, by the service's clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    received_at: OffsetDateTime,
    /// When the row was inserted, by the database clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    recorded_at: OffsetDateTime,
    /// The `sub` of the token.
    actor: String,
    /// The configured site of the service (`audit.site`).
    site: String,
    /// Pseudonym of the patient, in hexadecimal.
    subject: Option<String>,
    /// Version of the rules by which the row is encoded and signed.
    encoding_version: i16,
    /// `predicted`, `rejected`, `expired` or `failed`.
    outcome: String,
    /// Why the row has no prediction; null if it has one.
    reason: Option<String>,
    /// HMAC-SHA256 of the upload under the site's key, in hexadecimal.
    input_digest: String,
    /// Size of the upload in bytes.
    input_bytes: i64,
    /// File format of the image.
    format: Option<String>,
    /// Width of the upright image in pixels.
    width: Option<i32>,
    /// Height of the upright image in pixels.
    height: Option<i32>,
    /// Bits per sample that carry information.
    significant_bits: Option<i16>,
    /// Colour of the stored pixels.
    colour: Option<String>,
    /// EXIF orientation in the file (1 to 8). Since encoding version 5.
    orientation: Option<i16>,
    /// Age in years, from the request or the file.
    age_years: Option<f32>,
    /// View position, from the request or the file.
    view: Option<String>,
    /// Modality, from the request or the file.
    modality: Option<String>,
    /// Site-wide patient data the decision relied on because this image had none of its own.
    #[schema(value_type = Option<Object>)]
    assumed: Option<Value>,
    /// Version of the definition of `image_statistics`.
    statistics_version: Option<i16>,
    /// Pixel statistics of the validated image.
    #[schema(value_type = Option<Object>)]
    image_statistics: Option<Value>,
    /// Name of the bundle.
    model_name: Option<String>,
    /// Version of the bundle.
    model_version: Option<String>,
    /// SHA-256 of the bundle's manifest.
    bundle_digest: Option<String>,
    /// Variant that ran.
    variant: Option<String>,
    /// Execution fingerprint: everything that can change the last bits of an output.
    #[schema(value_type = Option<Object>)]
    execution: Option<Value>,
    /// SHA-256 of the calibration, policy and intended use.
    policy_digest: Option<String>,
    /// Uncalibrated output of the model.
    logit: Option<f64>,
    /// Calibrated probability of the positive class. The row has it even if the decision is `refer` and the answer had none.
    probability: Option<f64>,
    /// Calibrated probability of the class on this side of the threshold.
    confidence: Option<f64>,
    /// Operating point: an image with at least this probability is positive.
    threshold: Option<f64>,
    /// `positive`, `negative` or `refer`.
    decision: Option<String>,
    /// Whether the image requires review by a radiologist.
    review_required: Option<bool>,
    /// The rule that determined the decision.
    decision_reason: Option<String>,
    /// Out-of-distribution score: distance of the embedding from the training data.
    ood_score: Option<f64>,
    /// Class activation map, in row-major order.
    cam: Option<Vec<f32>>,
    /// Columns of `cam`.
    cam_width: Option<i16>,
    /// Rows of `cam`.
    cam_height: Option<i16>,
    /// Lower end of the bundle's heatmap scale; lower values are transparent.
    heatmap_low: Option<f32>,
    /// Upper end of the bundle's heatmap scale; higher values have the last colour.
    heatmap_high: Option<f32>,
    /// Duration of each phase up to the insert, in milliseconds.
    #[schema(value_type = Object)]
    timings: Value,
    /// Current label, `positive` or `negative`. The three label fields are recorded later and are not part of the signed row.
    label: Option<String>,
    /// Origin of the current label.
    source: Option<String>,
    /// When the current label was established.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    labelled_at: Option<OffsetDateTime>,
}

impl PredictionRecord {
    /// Names of the fields, in order.
    pub(super) const COLUMNS: [&str; 47] = [
        "id",
        "request_id",
        "received_at",
        "recorded_at",
        "actor",
        "site",
        "subject",
        "encoding_version",
        "outcome",
        "reason",
        "input_digest",
        "input_bytes",
        "format",
        "width",
        "height",
        "significant_bits",
        "colour",
        "orientation",
        "age_years",
        "view",
        "modality",
        "assumed",
        "statistics_version",
        "image_statistics",
        "model_name",
        "model_version",
        "bundle_digest",
        "variant",
        "execution",
        "policy_digest",
        "logit",
        "probability",
        "confidence",
        "threshold",
        "decision",
        "review_required",
        "decision_reason",
        "ood_score",
        "cam",
        "cam_width",
        "cam_height",
        "heatmap_low",
        "heatmap_high",
        "timings",
        "label",
        "source",
        "labelled_at",
    ];

    pub(super) const fn id(&self) -> Uuid {
        self.id
    }
}

impl From<LabelledPrediction> for PredictionRecord {
    fn from(LabelledPrediction { row, label }: LabelledPrediction) -> Self {
        let labelled_at = label.as_ref().map(|label| label.labelled_at);
        let (label, source) = label.map(|label| (label.label, label.source)).unzip();
        Self {
            id: row.id,
            request_id: row.request_id,
            received_at: row.received_at,
            recorded_at: row.recorded_at,
            actor: row.actor,
            site: row.site,
            subject: row.subject.map(hex::encode),
            encoding_version: row.encoding_version,
            outcome: row.outcome,
            reason: row.reason,
            input_digest: hex::encode(row.input_digest),
            input_bytes: row.input_bytes,
            format: row.format,
            width: row.width,
            height: row.height,
            significant_bits: row.significant_bits,
            colour: row.colour,
            orientation: row.orientation,
            age_years: row.age_years,
            view: row.view,
            modality: row.modality,
            assumed: row.assumed,
            statistics_version: row.statistics_version,
            image_statistics: row.image_statistics,
            model_name: row.model_name,
            model_version: row.model_version,
            bundle_digest: row.bundle_digest,
            variant: row.variant,
            execution: row.execution,
            policy_digest: row.policy_digest,
            logit: row.logit,
            probability: row.probability,
            confidence: row.confidence,
            threshold: row.threshold,
            decision: row.decision,
            review_required: row.review_required,
            decision_reason: row.decision_reason,
            ood_score: row.ood_score,
            cam: row.cam,
            cam_width: row.cam_width,
            cam_height: row.cam_height,
            heatmap_low: row.heatmap_low,
            heatmap_high: row.heatmap_high,
            timings: row.timings,
            label,
            source,
            labelled_at,
        }
    }
}
