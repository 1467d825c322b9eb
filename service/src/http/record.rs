//! The audit row as the API shows it: column by column, under the columns' names.

use crate::store::LabelledPrediction;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// One audit row; the embedding's coordinates stay in the database.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PredictionRecord {
    /// Id of the row.
    id: Uuid,
    /// Groups the images of one request.
    request_id: String,
    /// When the request began, on the service's clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    received_at: OffsetDateTime,
    /// When the row was inserted, on the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    recorded_at: OffsetDateTime,
    /// Subject of the token.
    actor: String,
    /// Site of the service.
    site: String,
    /// Pseudonym of the person, in hexadecimal.
    subject: Option<String>,
    /// How numbers and arrays of the row are to be read.
    encoding_version: i16,
    /// `predicted`, `rejected`, `expired` or `failed`.
    outcome: String,
    /// Why there is no prediction.
    reason: Option<String>,
    /// HMAC-SHA256 of the upload under the site's key, in hexadecimal.
    input_digest: String,
    /// Length of the upload.
    input_bytes: i64,
    /// Container that was decoded.
    format: Option<String>,
    /// Columns.
    width: Option<i32>,
    /// Rows.
    height: Option<i32>,
    /// Bits that carry information.
    significant_bits: Option<i16>,
    /// Colour of the stored pixels.
    colour: Option<String>,
    /// How the file says that its pixels are stored (EXIF, 1 to 8); width and height are of the upright image. Since version 5.
    orientation: Option<i16>,
    /// Stated age.
    age_years: Option<f32>,
    /// Stated projection.
    view: Option<String>,
    /// Stated modality.
    modality: Option<String>,
    /// What the site states of its patients, as far as the decision relies on it: nobody stated it of this image.
    #[schema(value_type = Option<Object>)]
    assumed: Option<Value>,
    /// How the statistics are defined.
    statistics_version: Option<i16>,
    /// Statistics of the accepted image.
    #[schema(value_type = Option<Object>)]
    image_statistics: Option<Value>,
    /// Name of the bundle.
    model_name: Option<String>,
    /// Version of the bundle.
    model_version: Option<String>,
    /// SHA-256 of its manifest.
    bundle_digest: Option<String>,
    /// Variant that ran.
    variant: Option<String>,
    /// Execution fingerprint.
    #[schema(value_type = Option<Object>)]
    execution: Option<Value>,
    /// SHA-256 of calibration, policy and intended use.
    policy_digest: Option<String>,
    /// Raw output of the model.
    logit: Option<f64>,
    /// Calibrated probability of the positive class. The row of a referred image keeps it; the answer did not have it.
    probability: Option<f64>,
    /// Probability of the class on whose side of the threshold the image lies.
    confidence: Option<f64>,
    /// Operating point in force.
    threshold: Option<f64>,
    /// `positive`, `negative` or `refer`.
    decision: Option<String>,
    /// Whether a radiologist must look.
    review_required: Option<bool>,
    /// The rule that led to the decision.
    decision_reason: Option<String>,
    /// Distance from the training data.
    ood_score: Option<f64>,
    /// Class activation map, row-major.
    cam: Option<Vec<f32>>,
    /// Its columns.
    cam_width: Option<i16>,
    /// Its rows.
    cam_height: Option<i16>,
    /// The bundle's colour scale for it: nothing is drawn below.
    heatmap_low: Option<f32>,
    /// The last colour, from here on.
    heatmap_high: Option<f32>,
    /// Milliseconds by phase, up to the insert.
    #[schema(value_type = Object)]
    timings: Value,
    /// The label that counts, `positive` or `negative`. This and the next two are stated later and are not part of the signed row.
    label: Option<String>,
    /// Who or what found the label.
    source: Option<String>,
    /// When it was found.
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
