//! `POST /v1/predictions` and `GET /v1/predictions/{id}`.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::headers::{
    IdempotencyHeader, IdempotencyKey, REPLAYED, RequestTimeout, SubjectHeader, TimeoutHeader,
};
use crate::http::extract::upload::{PredictionQuery, Upload};
use crate::http::extract::{Admitted, AuditedRead, RowId};
use crate::http::middleware::observe::Arrival;
use crate::http::receipt::{CommittedRow, Receipt};
use crate::http::record::PredictionRecord;
use crate::pipeline::{
    Answer, AnswerTimings, Drawn, Explanation, OutsideRow, ReplayedAnswer, Reply, Submission, cancellation,
};
use crate::record::sealed::PhaseTimings;
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// The answer to one image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// Id of the audit row, committed before this answer was sent.
    id: Uuid,
    /// Identifies the request in the service's log.
    request_id: String,
    /// Predicted class; null if the decision is `refer`.
    #[schema(required = true, example = "PNEUMONIA")]
    class: Option<String>,
    /// Calibrated probability of the positive class; null if the decision is `refer`.
    #[schema(required = true, minimum = 0, maximum = 1)]
    probability: Option<f64>,
    /// Calibrated probability of the predicted class; null if the decision is `refer`.
    #[schema(required = true, minimum = 0, maximum = 1)]
    confidence: Option<f64>,
    /// `positive`, `negative` or `refer`. With `refer` the model does not apply to this image, and a
    /// radiologist must read it.
    #[schema(example = "positive")]
    decision: String,
    /// Whether a radiologist must review the image before anyone acts on the answer.
    review_required: bool,
    /// The rule that determined the decision.
    #[schema(example = "above_threshold")]
    reason: String,
    /// Operating point: an image with at least this probability is positive.
    threshold: f64,
    /// Site-wide patient data that replaced an age, view or modality missing from this image; absent if none
    /// was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({ "age_years": [1, 5], "views": ["AP"] }))]
    assumed: Option<Value>,
    /// The model that answered.
    model: AnsweringModel,
    /// Signed proof that the audit row was committed.
    receipt: Receipt,
    /// Duration of each phase in milliseconds.
    timings_ms: Timings,
    /// With `explain=true`: a heatmap to overlay on the original image, as a PNG data URI, or null if it is
    /// withheld.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "data:image/png;base64,iVBORw0...")]
    heatmap: Option<Value>,
    /// Legend to show next to the heatmap, with the colours, their scale and their limits; a PNG data URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "data:image/png;base64,iVBORw0...")]
    heatmap_legend: Option<String>,
    /// Why the heatmap is null: `referred` (the decision is `refer`) or `no_scale` (the bundle has no colour
    /// scale).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "referred")]
    heatmap_withheld: Option<String>,
}

/// The model behind an answer.
#[derive(Debug, Serialize, ToSchema)]
struct AnsweringModel {
    /// Name of the bundle.
    name: String,
    /// Version of the bundle.
    version: String,
    /// SHA-256 of the bundle's manifest, which lists the digests of all other files.
    digest: String,
    /// The variant that ran.
    variant: String,
}

/// Duration of each phase in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
struct Timings {
    /// From the request's head to the end of its body.
    admission: f64,
    /// Decoding and validating the image.
    decode: f64,
    /// Windowing, resizing and contrast enhancement.
    preprocess: f64,
    /// Waiting for a session of the model.
    queue: f64,
    /// Running the batch with this image.
    infer: f64,
    /// Committing the audit row; absent in a replayed answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<f64>,
    /// From the request's head to the answer; absent in a replayed answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
}

/// Predict one image.
///
/// The body is the image (JPEG, PNG or TIFF, detected from the content), or a form with the image in the part
/// `file` and the optional parts `subject`, `age`, `view` and `modality`.
#[utoipa::path(
    post,
    path = "/v1/predictions",
    operation_id = "createPrediction",
    tag = "predictions",
    params(PredictionQuery, TimeoutHeader, IdempotencyHeader, SubjectHeader),
    request_body(
        content((RawImage = "image/jpeg"), (RawImage = "image/png"), (RawImage = "image/tiff"),
            (RawImage = "application/octet-stream"), (UploadForm = "multipart/form-data")),
    ),
    security(("bearer" = ["predict"])),
    responses(
        (status = 200, description = "The prediction; its audit row is committed", body = Prediction),
        (status = 400, description = "Malformed request"),
        (status = 408, description = "Request body timed out"),
        (status = 409, description = "A request with this Idempotency-Key is in progress"),
        (status = 413, description = "Image too large"),
        (status = 415, description = "Unsupported media type"),
        (status = 422, description = "Image rejected, and its audit row committed; or the Idempotency-Key was used with different content"),
        (status = 429, description = "Too many images in flight, or rate limit exceeded"),
        (status = 504, description = "Deadline exceeded before the model started; the audit row is committed"),
        (status = 503, description = "Audit log, model or token keys unavailable"),
    )
)]
pub(crate) async fn create(
    State(api): State<Shared>,
    Extension(arrival): Extension<Arrival>,
    Extension(actor): Extension<Actor>,
    RequestTimeout(timeout): RequestTimeout,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Admitted(mut admission): Admitted,
    request: Request,
) -> Result<Response, ApiError> {
    let request_id = arrival.request_id.clone();
    let deadline = arrival.started + timeout;
    let (client, cancellation) = cancellation(deadline);
    // A disconnect drops this handler and with it `client`, which cancels the work. The task continues,
    // because an uploaded image gets its audit row.
    let work = async move {
        let receiving = Instant::now();
        let upload = Upload::receive(request, &api, deadline, &mut admission).await?;
        let submission = Submission {
            request_id: arrival.request_id,
            actor: actor.sub().to_owned(),
            received_at: arrival.at,
            started: arrival.started,
            trace: arrival.trace,
            upload: (receiving, receiving.elapsed()),
            image: upload.image,
            stated: upload.stated,
            explain: upload.explain,
            idempotency_key,
            cancellation,
            admission,
        };
        Ok(Box::pin(api.pipeline.predict(submission)).await?)
    };
    let reply: Result<Reply, ApiError> =
        tokio::spawn(work).await.unwrap_or(Err(ApiError::Failed { row: None }));
    drop(client);
    match reply? {
        Reply::Fresh(answer) => {
            let timing = [(HeaderName::from_static("server-timing"), server_timing(&answer.timings))];
            Ok((timing, Json(Prediction::new(request_id, &answer))).into_response())
        }
        Reply::Replayed(replayed) => {
            let answer = Prediction::replayed(*replayed)?;
            Ok(([(REPLAYED, "true")], Json(answer)).into_response())
        }
    }
}

/// Read one audit row.
#[utoipa::path(
    get,
    path = "/v1/predictions/{id}",
    operation_id = "getPrediction",
    tag = "predictions",
    params(RowId),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The audit row; the read is recorded", body = PredictionRecord),
        (status = 400, description = "The id is not a UUID"),
        (status = 404, description = "Prediction not found"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn find(
    State(api): State<Shared>,
    RowId { id }: RowId,
    read: AuditedRead,
) -> Result<Json<PredictionRecord>, ApiError> {
    let row = api.store.reader.labelled_prediction(id).await?;
    read.record(&api.store, json!({ "id": id }), Some(u64::from(row.is_some()))).await?;
    Ok(Json(row.ok_or(ApiError::PredictionNotFound)?.into()))
}

/// The bytes of a JPEG, PNG or TIFF file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes the body in the API document; http/extract/upload.rs reads it")]
struct RawImage(Vec<u8>);

/// The form that carries an image.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form in the API document; http/extract/multipart.rs reads it")]
struct UploadForm {
    /// The image.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Identifier of the patient, as in X-Subject-Id.
    subject: Option<String>,
    /// Age in years (`7`, `0.5`) or as a DICOM age string (`045Y`, `006M`).
    age: Option<String>,
    /// DICOM View Position: `PA`, `AP`, `LL` or `RL`.
    view: Option<String>,
    /// DICOM Modality: `CR`, `DX` or `RG`.
    modality: Option<String>,
}

impl Prediction {
    fn new(request_id: String, answer: &Answer) -> Self {
        let (model, decision) = (&answer.serving.model, &answer.prediction.decision);
        let assumed = Some(&answer.prediction.assumed).filter(|assumed| !assumed.is_empty());
        let (heatmap, heatmap_legend, heatmap_withheld) = heatmap_members(&answer.prediction.explanation);
        let AnswerTimings { phases, audit, total } = &answer.timings;
        Self {
            id: answer.receipt.id(),
            request_id,
            class: answer.class().map(ToOwned::to_owned),
            probability: answer.probability(),
            confidence: answer.confidence(),
            decision: decision.kind.code().to_owned(),
            review_required: decision.review_required,
            reason: decision.reason.code().to_owned(),
            threshold: model.variant().policy.threshold,
            assumed: assumed.and_then(|assumed| serde_json::to_value(assumed).ok()),
            model: AnsweringModel {
                name: model.manifest().name.clone(),
                version: model.manifest().version.clone(),
                digest: model.bundle().digest().to_owned(),
                variant: model.variant_name().to_owned(),
            },
            receipt: Receipt::of(answer.receipt.signed()),
            timings_ms: Timings::new(phases, Some(*audit), Some(*total)),
            heatmap,
            heatmap_legend,
            heatmap_withheld,
        }
    }

    /// The first answer, from its audit row.
    fn replayed(replayed: ReplayedAnswer) -> Result<Self, ApiError> {
        let ReplayedAnswer { row, receipt, outside_row, explanation } = replayed;
        let class = match outside_row {
            OutsideRow::Class(class) => class,
            OutsideRow::Rejection(detail) => {
                let reason = row.reason.unwrap_or_default();
                let row = Box::new(CommittedRow::of(&receipt));
                return Err(ApiError::ReplayedRejection { row, reason, detail });
            }
        };
        // A referred image has numbers in its row but not in its answer.
        let named = class.is_some();
        let (heatmap, heatmap_legend, heatmap_withheld) = heatmap_members(&explanation);
        // `None` is impossible: constraints of the table guarantee these columns.
        let complete = || {
            let phases: PhaseTimings = serde_json::from_value(row.timings).ok()?;
            Some(Self {
                id: row.id,
                request_id: row.request_id,
                class,
                probability: row.probability.filter(|_| named),
                confidence: row.confidence.filter(|_| named),
                decision: row.decision?,
                review_required: row.review_required?,
                reason: row.decision_reason?,
                threshold: row.threshold?,
                assumed: row.assumed,
                model: AnsweringModel {
                    name: row.model_name?,
                    version: row.model_version?,
                    digest: row.bundle_digest?,
                    variant: row.variant?,
                },
                receipt: Receipt::of(&receipt),
                timings_ms: Timings::new(&phases, None, None),
                heatmap,
                heatmap_legend,
                heatmap_withheld,
            })
        };
        complete().ok_or(ApiError::Failed { row: None })
    }
}

/// `heatmap`, `heatmap_legend` and `heatmap_withheld`.
fn heatmap_members(explanation: &Explanation) -> (Option<Value>, Option<String>, Option<String>) {
    let data_uri = |png: &[u8]| format!("data:image/png;base64,{}", STANDARD.encode(png));
    match explanation {
        Explanation::NotRequested => (None, None, None),
        Explanation::Withheld(reason) => (Some(Value::Null), None, Some(reason.code().to_owned())),
        Explanation::Drawn(Drawn { heatmap, legend }) => {
            (Some(data_uri(heatmap).into()), Some(data_uri(legend)), None)
        }
    }
}

impl Timings {
    fn new(phases: &PhaseTimings, audit: Option<f64>, total: Option<f64>) -> Self {
        Self {
            admission: phases.admission.unwrap_or_default(),
            decode: phases.decode.unwrap_or_default(),
            preprocess: phases.preprocess.unwrap_or_default(),
            queue: phases.queue.unwrap_or_default(),
            infer: phases.infer.unwrap_or_default(),
            audit,
            total,
        }
    }
}

fn server_timing(timings: &AnswerTimings) -> String {
    timings.by_phase().map(|(phase, took)| format!("{phase};dur={took:.3}")).collect::<Vec<_>>().join(", ")
}
