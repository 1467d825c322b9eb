//! The replayed answer to a retry: the first answer, rebuilt from its row.

use super::examine::{Examination, Progress, Stop};
use super::explain::ActivationMap;
use super::{Answer, Case, Explanation, Pipeline, PredictionError};
use crate::audit::{RecordError, SignedReceipt};
use crate::record::AuditRow;
use crate::record::idempotency::{FirstAnswer, RequestKey, StoredAnswer};
use crate::telemetry::logs::chain;
use cxr::decide::DecisionKind;
use cxr::heatmap::ColourScale;
use serde_json::{Value, json};

pub enum Reply {
    Fresh(Box<Answer>),
    /// The first answer under the same idempotency key.
    Replayed(Box<ReplayedAnswer>),
}

pub struct ReplayedAnswer {
    pub row: AuditRow,
    /// A new receipt for the row's leaf.
    pub receipt: SignedReceipt,
    pub outside_row: OutsideRow,
    pub explanation: Explanation,
}

/// The part of an answer that its row does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutsideRow {
    /// The class of a prediction, if the decision names one.
    Class(Option<String>),
    /// The detail of a rejection: what was found, and what the client can do.
    Rejection(String),
}

impl OutsideRow {
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
    /// The first answer under this key, if there is one.
    pub(super) async fn replayed(
        &self,
        case: &Case,
        key: &RequestKey,
    ) -> Result<Option<Reply>, PredictionError> {
        let failed = |error| PredictionError::from(RecordError::from(error));
        let Some(stored) = self.audit.stored_answer(key).await.map_err(failed)? else { return Ok(None) };
        let found = if stored.expired { None } else { self.verified(case, key, &stored).await? };
        if found.is_some() && stored.fingerprint != key.fingerprint {
            return Err(PredictionError::KeyReused);
        }
        let (Some((row, receipt)), Some(outside_row)) = (found, OutsideRow::read(&stored.answer)) else {
            if !stored.expired && !self.audit.is_dropped(stored.prediction_id).await.map_err(failed)? {
                // The read replica may lag. Asking the client to retry is better than a second row.
                return Err(RecordError::Behind.into());
            }
            self.audit.delete_key(key, stored.prediction_id).await.map_err(failed)?;
            return Ok(None);
        };
        let explanation = self.redraw(case, &row).await;
        self.metrics.replayed();
        let replayed = ReplayedAnswer { row, receipt, outside_row, explanation };
        Ok(Some(Reply::Replayed(Box::new(replayed))))
    }

    /// The row of a stored answer and its receipt. An answer that was changed in the database is logged and
    /// never returned.
    async fn verified(
        &self,
        case: &Case,
        key: &RequestKey,
        stored: &StoredAnswer,
    ) -> Result<Option<(AuditRow, SignedReceipt)>, RecordError> {
        self.audit.stored_row(key, stored).await.inspect_err(|error| {
            if matches!(error, RecordError::Changed(_)) {
                let (request_id, id) = (&case.submission.request_id, stored.prediction_id);
                tracing::error!(request_id, %id, cause = chain(error), "stored answer does not verify; answer withheld");
                self.metrics.answer_changed();
            }
        })
    }

    /// Draws the heatmap from the row's map and scale. The image in the retry gives the geometry.
    async fn redraw(&self, case: &Case, row: &AuditRow) -> Explanation {
        let (true, Some(map)) = (case.submission.explain, map_of(row)) else {
            return Explanation::NotRequested;
        };
        if let Err(why) = map.scale() {
            return Explanation::Withheld(why);
        }
        let Ok(input) = self.prepare(case, &mut Progress::admitted(case)).await else {
            return Explanation::NotRequested;
        };
        self.explain(case, map, *input.geometry()).await.unwrap_or(Explanation::NotRequested)
    }

    /// The answer to store under the case's key. `None` after a cancellation or failure, so that a retry is
    /// examined again.
    pub(super) fn first_answer(case: &Case, outcome: &Result<Examination, Stop>) -> Option<FirstAnswer> {
        let outside_row = match outcome {
            Ok(prediction) => {
                let class = case.serving.model.class(prediction.decision.kind);
                OutsideRow::Class(class.map(ToOwned::to_owned))
            }
            Err(Stop::Rejected(rejection)) => {
                OutsideRow::Rejection(format!("{}; {}", rejection.found, rejection.advice))
            }
            Err(Stop::Cancelled(_) | Stop::Failed(_)) => return None,
        };
        Some(FirstAnswer { key: case.key?, answer: outside_row.write() })
    }
}

fn map_of(row: &AuditRow) -> Option<ActivationMap> {
    let size = (u32::try_from(row.cam_width?).ok()?, u32::try_from(row.cam_height?).ok()?);
    let scale = row.heatmap_low.zip(row.heatmap_high).map(|(low, high)| ColourScale { low, high });
    let decision = row.decision.as_deref()?;
    let kind = DecisionKind::ALL.into_iter().find(|kind| kind.code() == decision)?;
    Some(ActivationMap { cam: row.cam.clone()?, size, scale, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_answer_reads_back() {
        for outside_row in [
            OutsideRow::Class(Some("PNEUMONIA".into())),
            OutsideRow::Class(None),
            OutsideRow::Rejection("too small; send a larger one".into()),
        ] {
            assert_eq!(OutsideRow::read(&outside_row.write()), Some(outside_row));
        }
        assert_eq!(OutsideRow::read(&json!({})), None);
    }
}
