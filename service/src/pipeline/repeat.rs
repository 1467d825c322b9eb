//! What a retry gets: the first answer, made again from its row.

use super::examine::{Examined, Known, Stop};
use super::explain::Map;
use super::{Answer, Case, Explanation, Pipeline, PredictionError};
use crate::audit::repeats::{Earlier, Kept, RequestKey};
use crate::audit::row::StoredPrediction;
use crate::audit::{Receipt, RecordError};
use crate::telemetry::logs::chain;
use cxr::decide::Verdict;
use cxr::heatmap::ColourScale;
use serde_json::{Value, json};

/// What leaves the pipeline.
pub enum Reply {
    /// An answer to this request.
    Now(Box<Answer>),
    /// The answer to an earlier one that had the same key.
    Again(Box<Repeat>),
}

/// An earlier answer.
pub struct Repeat {
    /// Its row.
    pub row: StoredPrediction,
    /// A new receipt for the row's old leaf.
    pub receipt: Receipt,
    /// What the answer said beyond its row.
    pub said: Said,
    /// The heatmap.
    pub explanation: Explanation,
}

/// What an answer says that its row does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Of a prediction: the name of its class, where the decision names one.
    Class(Option<String>),
    /// Of a rejection: what was found, and what the sender can do.
    Rejection(String),
}

impl Said {
    fn write(&self) -> Value {
        match self {
            Self::Class(class) => json!({ "class": class }),
            Self::Rejection(detail) => json!({ "detail": detail }),
        }
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(ToOwned::to_owned);
        match value.get("class") {
            Some(Value::Null) => Some(Self::Class(None)),
            Some(_) => text("class").map(|class| Self::Class(Some(class))),
            None => text("detail").map(Self::Rejection),
        }
    }
}

impl Pipeline {
    /// The answer that was given under this key, if there is one.
    pub(super) async fn repeat(
        &self,
        case: &Case,
        key: &RequestKey,
    ) -> Result<Option<Repeat>, PredictionError> {
        let failed = |error| PredictionError::from(RecordError::from(error));
        let Some(earlier) = self.audit.earlier(key).await.map_err(failed)? else { return Ok(None) };
        let found = if earlier.expired { None } else { self.again(case, key, &earlier).await? };
        if found.is_some() && earlier.fingerprint != key.fingerprint {
            return Err(PredictionError::KeyReused);
        }
        let (Some((row, receipt)), Some(said)) = (found, Said::read(&earlier.answer)) else {
            if !earlier.expired && !self.audit.retention_took(earlier.prediction_id).await.map_err(failed)? {
                // The readers' database may be behind. A second row is worse than another try.
                return Err(RecordError::Behind.into());
            }
            self.audit.forget(key, earlier.prediction_id).await.map_err(failed)?;
            return Ok(None);
        };
        let explanation = self.explain_again(case, &row).await;
        self.metrics.repeated();
        Ok(Some(Repeat { row, receipt, said, explanation }))
    }

    /// The row of an earlier answer and its receipt. What was changed in the database is told, and never given again.
    async fn again(
        &self,
        case: &Case,
        key: &RequestKey,
        earlier: &Earlier,
    ) -> Result<Option<(StoredPrediction, Receipt)>, RecordError> {
        self.audit.again(key, earlier).await.inspect_err(|error| {
            if matches!(error, RecordError::Changed(_)) {
                let (request_id, id) = (&case.request_id, earlier.prediction_id);
                tracing::error!(request_id, %id, cause = chain(error), "stored answer does not verify; answer withheld");
                self.metrics.answer_changed();
            }
        })
    }

    /// The heatmap from the row's map and scale; the image is there again, and says where the map belongs.
    async fn explain_again(&self, case: &Case, row: &StoredPrediction) -> Explanation {
        let (true, Some(map)) = (case.explain, map_of(row)) else { return Explanation::NotAsked };
        if let Err(why) = map.scale() {
            return Explanation::Withheld(why);
        }
        let Ok(input) = self.prepare(case, &mut Known::admitted(case)).await else {
            return Explanation::NotAsked;
        };
        self.explain(case, map, *input.geometry()).await.unwrap_or(Explanation::NotAsked)
    }

    /// What is kept under the case's key. Not where the client is told to try again: that must be a new attempt.
    pub(super) fn kept(case: &Case, examined: &Result<Examined, Stop>) -> Option<Kept> {
        let said = match examined {
            Ok(examined) => {
                let verdict = examined.finding.decision.verdict;
                Said::Class(case.serving.model.class(verdict).map(ToOwned::to_owned))
            }
            Err(Stop::Rejected(rejection)) => {
                Said::Rejection(format!("{}; {}", rejection.found, rejection.advice))
            }
            Err(Stop::Dropped(_) | Stop::Failed(_)) => return None,
        };
        Some(Kept { key: case.key?, answer: said.write() })
    }
}

/// The map of a row that is a prediction.
fn map_of(row: &StoredPrediction) -> Option<Map> {
    let size = (u32::try_from(row.cam_width?).ok()?, u32::try_from(row.cam_height?).ok()?);
    let scale = row.heatmap_low.zip(row.heatmap_high).map(|(low, high)| ColourScale { low, high });
    let decision = row.decision.as_deref()?;
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.code() == decision)?;
    Some(Map { cam: row.cam.clone()?, size, scale, verdict })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        for said in [
            Said::Class(Some("PNEUMONIA".into())),
            Said::Class(None),
            Said::Rejection("too small; send a larger one".into()),
        ] {
            assert_eq!(Said::read(&said.write()), Some(said));
        }
        assert_eq!(Said::read(&json!({})), None);
    }
}
