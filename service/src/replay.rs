//! Replays a prediction: the same bytes go through the same steps, and the results are compared with the
//! audit row.

use crate::infer::{Backend, BackendError, Sessions};
use crate::model::ServedModel;
use crate::record::AuditRow;
use cxr::decide::DecisionReason;
use cxr::embedding::EmbeddingMismatch;
use cxr::intended_use::{SitePatients, Suitability};
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess;
use cxr::{AcceptedImage, Decision, DecodeLimits, Probability, Rejection};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the row is {outcome}: the model gave no result that could be compared")]
    NothingToCompare { outcome: String },
    #[error("the row's age, view or modality cannot be read")]
    Metadata(#[source] Rejection),
    #[error("the row's column assumed cannot be read")]
    Assumed(#[source] serde_json::Error),
    #[error("the model cannot run")]
    Backend(#[from] BackendError),
    #[error("the embedding does not fit the bundle's reference")]
    Embedding(#[from] EmbeddingMismatch),
}

/// The comparison of a row with its replay.
#[derive(Debug, Serialize)]
pub struct Replay {
    /// Whether the execution fingerprint is the row's: then all numbers must be bit-identical.
    pub same_execution: bool,
    /// Largest allowed difference of a number if the fingerprints differ.
    pub tolerance: f64,
    pub results: Vec<Compared>,
}

#[derive(Debug, Serialize)]
pub struct Compared {
    pub column: &'static str,
    pub recorded: Value,
    pub replayed: Value,
    /// Equal, or within the tolerance if the executions differ.
    pub agrees: bool,
}

impl Replay {
    pub fn agrees(&self) -> bool {
        self.results.iter().all(|result| result.agrees)
    }

    fn text(&mut self, column: &'static str, recorded: Option<&str>, replayed: Option<&str>) {
        let agrees = recorded == replayed;
        self.results.push(Compared { column, recorded: json!(recorded), replayed: json!(replayed), agrees });
    }

    fn numbers(&mut self, column: &'static str, recorded: &[f64], replayed: &[f64]) {
        let close = |(a, b): (&f64, &f64)| {
            if self.same_execution { a.to_bits() == b.to_bits() } else { (a - b).abs() <= self.tolerance }
        };
        let agrees = recorded.len() == replayed.len() && recorded.iter().zip(replayed).all(close);
        // A list is shown as its length and the largest difference.
        let shown = |values: &[f64]| if let [value] = values { json!(value) } else { json!(values.len()) };
        let (recorded, replayed) = if agrees || recorded.len() == 1 {
            (shown(recorded), shown(replayed))
        } else {
            let difference = recorded.iter().zip(replayed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            (shown(recorded), json!({ "n": replayed.len(), "largest_difference": difference }))
        };
        self.results.push(Compared { column, recorded, replayed, agrees });
    }
}

/// Replays a row. The caller has checked that `image` and `model` are the row's.
pub fn replay(
    row: &AuditRow,
    image: &[u8],
    limits: &DecodeLimits,
    model: &ServedModel,
    sessions: &mut Sessions,
    tolerance: f64,
) -> Result<Replay, ReplayError> {
    if !matches!(row.outcome.as_str(), "predicted" | "rejected") {
        return Err(ReplayError::NothingToCompare { outcome: row.outcome.clone() });
    }
    let same_execution = row.execution.as_ref().is_none_or(|then| *then == sessions.execution);
    let mut replay = Replay { same_execution, tolerance, results: Vec::new() };
    let metadata = metadata(row).map_err(ReplayError::Metadata)?;
    let assumed = row.assumed.clone().map_or(Ok(SitePatients::default()), serde_json::from_value);
    let assumed = assumed.map_err(ReplayError::Assumed)?;
    let accepted = cxr::decode(image, limits)
        .and_then(|image| AcceptedImage::accept(image, metadata, &model.manifest().acceptance));
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(rejection) => {
            replay.text("outcome", Some(&row.outcome), Some("rejected"));
            replay.text("reason", row.reason.as_deref(), Some(rejection.reason.code()));
            return Ok(replay);
        }
    };
    replay.text("outcome", Some(&row.outcome), Some("predicted"));
    if let Some(orientation) = row.orientation {
        let (then, now) = (f64::from(orientation), f64::from(accepted.image().orientation().tag()));
        replay.numbers("orientation", &[then], &[now]);
    }
    if row.outcome == "rejected" {
        return Ok(replay);
    }
    let input = preprocess(&accepted, &model.manifest().preprocess);
    let Some(backend) = sessions.backends.first_mut() else { return Err(BackendError::Short.into()) };
    let outputs = backend.run(&[input.pixels()])?;
    let logit = f64::from(*outputs.logits.first().ok_or(BackendError::Short)?);
    let position = model.bundle().reference().embedding.locate(&outputs.embedding)?;
    let probability = model.variant().calibration.apply(logit);
    let decision = model.decide(probability, position.ood_score, &metadata, &assumed);
    let then = decided_then(row, decision, probability, model);
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let one = |value: Option<f64>| value.into_iter().collect::<Vec<_>>();
    replay.numbers("logit", &one(row.logit), &[logit]);
    replay.numbers("probability", &one(row.probability), &[probability.value()]);
    replay.numbers("confidence", &one(row.confidence), &[decision.confidence]);
    replay.numbers("threshold", &one(row.threshold), &[model.variant().policy.threshold]);
    replay.numbers("ood_score", &one(row.ood_score), &[position.ood_score]);
    let coordinates = row.embedding_coordinates.as_deref().unwrap_or_default();
    replay.numbers("embedding_coordinates", &wide(coordinates), &wide(&position.coordinates));
    replay.numbers("cam", &wide(row.cam.as_deref().unwrap_or_default()), &wide(&outputs.cam));
    replay.text("decision", row.decision.as_deref(), Some(then.kind.code()));
    replay.text("decision_reason", row.decision_reason.as_deref(), Some(then.reason.code()));
    let review = |required: Option<bool>| required.map(|required| if required { "true" } else { "false" });
    replay.text("review_required", review(row.review_required), review(Some(then.review_required)));
    Ok(replay)
}

/// First encoding version whose decisions can be `refer`.
const FIRST_WITH_REFER: i16 = 5;

/// The decision by the state of the model then, and by the rules of the row's encoding version. Before
/// `refer`, the threshold alone decided, and a missing age or view did not matter.
fn decided_then(row: &AuditRow, now: Decision, probability: Probability, model: &ServedModel) -> Decision {
    if row.decision_reason.as_deref() == Some(DecisionReason::OutOfService.code()) {
        return now.out_of_service();
    }
    if row.encoding_version >= FIRST_WITH_REFER {
        return now;
    }
    let policy = &model.variant().policy;
    let known = match now.reason {
        DecisionReason::IntendedUseUnknown => policy.decide(probability, 0.0, Suitability::Intended),
        _ => now,
    };
    Decision { kind: policy.at_threshold(probability), ..known }
}

fn metadata(row: &AuditRow) -> Result<AcquisitionMetadata, Rejection> {
    let age = row.age_years.map(|age| age.to_string());
    AcquisitionMetadata::parse(age.as_deref(), row.view.as_deref(), row.modality.as_deref())
}
