//! A logged prediction once more: the same bytes through the same steps, and what came out beside what the row says.

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

/// Why a row cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There was no result.
    #[error("the row is {outcome}: the model gave no result that could be compared")]
    NothingToCompare {
        /// The row's outcome.
        outcome: String,
    },
    /// What the row says of the acquisition is not readable.
    #[error("the row's age, view or modality cannot be read")]
    Metadata(#[source] Rejection),
    /// What the row assumes of the patients is not readable.
    #[error("the row's column assumed cannot be read")]
    Assumed(#[source] serde_json::Error),
    /// The model does not run.
    #[error("the model does not run")]
    Backend(#[from] BackendError),
    /// Its embedding does not fit the bundle.
    #[error("the embedding cannot be placed")]
    Embedding(#[from] EmbeddingMismatch),
}

/// What was compared, and how it ended.
#[derive(Debug, Serialize)]
pub struct Replay {
    /// Whether equal bits are expected: what executes here is what executed then.
    pub same_execution: bool,
    /// Largest difference of a number that passes elsewhere.
    pub tolerance: f64,
    /// Each result of the row beside the one of now.
    pub results: Vec<Compared>,
}

/// One result.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// The column.
    pub column: &'static str,
    /// As the row has it.
    pub recorded: Value,
    /// As it came out now.
    pub replayed: Value,
    /// Whether that is what is expected.
    pub agrees: bool,
}

impl Replay {
    /// Whether every result is what is expected.
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
        // A map is many numbers; the largest difference says enough.
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

/// Puts the bytes through the steps that the row's image went through. The caller has made sure that they are the row's image
/// and the model the row's model.
///
/// # Errors
/// When there is nothing to compare, or the model does not run.
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
    replay.text("decision", row.decision.as_deref(), Some(then.verdict.code()));
    replay.text("decision_reason", row.decision_reason.as_deref(), Some(then.reason.code()));
    let review = |required: Option<bool>| required.map(|required| if required { "true" } else { "false" });
    replay.text("review_required", review(row.review_required), review(Some(then.review_required)));
    Ok(replay)
}

/// First version whose decisions can be `refer`.
const REFERS: i16 = 5;

/// The decision by the rules of the row's version. Before `refer` every verdict was the side of the threshold, and nobody asked
/// for an age or a view.
fn decided_then(row: &AuditRow, now: Decision, probability: Probability, model: &ServedModel) -> Decision {
    if row.encoding_version >= REFERS {
        return now;
    }
    let policy = &model.variant().policy;
    let known = match now.reason {
        DecisionReason::IntendedUseUnknown => policy.decide(probability, 0.0, Suitability::Intended),
        _ => now,
    };
    Decision { verdict: policy.at_threshold(probability), ..known }
}

/// What was stated, or stood in the file, when the row was written.
fn metadata(row: &AuditRow) -> Result<AcquisitionMetadata, Rejection> {
    let age = row.age_years.map(|age| age.to_string());
    AcquisitionMetadata::parse(age.as_deref(), row.view.as_deref(), row.modality.as_deref())
}
