//! What leaves the pipeline: built from a receipt and nothing less.

use super::examine::{Finding, Stop};
use super::{Explanation, PredictionError};
use crate::audit::AuditReceipt;
use crate::model::ServedModel;
use crate::record::row::Timings;
use crate::serving::Serving;
use cxr::Decision;
use cxr::intended_use::SitePatients;
use std::sync::Arc;
use uuid::Uuid;

/// A prediction whose row is committed.
pub struct Answer {
    receipt: AuditReceipt,
    finding: Finding,
    serving: Arc<Serving>,
    timings: AnswerTimings,
}

/// A refusal, failure or lateness whose row is committed.
#[derive(Debug)]
pub struct Stopped {
    receipt: AuditReceipt,
    stop: Stop,
}

/// Milliseconds by phase.
#[derive(Debug, Clone, Copy)]
pub struct AnswerTimings {
    /// The phases up to the insert.
    pub phases: Timings,
    /// Committing the row.
    pub audit: f64,
    /// From the request's head to here.
    pub total: f64,
}

impl AnswerTimings {
    /// The phases that were reached, in order.
    pub fn by_phase(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let Timings { admission, decode, preprocess, queue, infer } = self.phases;
        let phases = [admission, decode, preprocess, queue, infer, Some(self.audit), Some(self.total)];
        let names = crate::telemetry::metrics::PHASES;
        names.into_iter().zip(phases).filter_map(|(name, took)| Some((name, took?)))
    }
}

impl Answer {
    /// The end of an examination becomes an answer by its receipt.
    pub(super) fn new(
        receipt: AuditReceipt,
        finding: Result<Finding, Stop>,
        serving: Arc<Serving>,
        timings: AnswerTimings,
    ) -> Result<Self, PredictionError> {
        match finding {
            Ok(finding) => Ok(Self { receipt, finding, serving, timings }),
            Err(stop) => Err(PredictionError::Stopped(Box::new(Stopped { receipt, stop }))),
        }
    }

    /// Id of the audit row.
    pub fn id(&self) -> Uuid {
        self.receipt.id()
    }

    /// Proof of the row.
    pub const fn receipt(&self) -> &AuditReceipt {
        &self.receipt
    }

    /// The class that the decision names.
    pub fn class(&self) -> Option<&str> {
        self.model().class(self.finding.decision.verdict)
    }

    /// Calibrated probability of the positive class, where the decision names a class.
    pub fn probability(&self) -> Option<f64> {
        self.if_named(self.finding.probability.value())
    }

    /// Probability of the class that the decision names.
    pub fn confidence(&self) -> Option<f64> {
        self.if_named(self.finding.decision.confidence)
    }

    fn if_named(&self, number: f64) -> Option<f64> {
        self.decision().verdict.names_a_class().then_some(number)
    }

    /// Verdict, review and reason.
    pub const fn decision(&self) -> &Decision {
        &self.finding.decision
    }

    /// What of the site's statement about its patients the decision relies on.
    pub const fn assumed(&self) -> &SitePatients {
        &self.finding.assumed
    }

    /// What served.
    pub fn model(&self) -> &ServedModel {
        &self.serving.model
    }

    /// The heatmap.
    pub const fn explanation(&self) -> &Explanation {
        &self.finding.explanation
    }

    /// Milliseconds by phase.
    pub const fn timings(&self) -> &AnswerTimings {
        &self.timings
    }
}

impl Stopped {
    /// Proof of the row, and why there is no prediction.
    pub fn into_parts(self) -> (AuditReceipt, Stop) {
        (self.receipt, self.stop)
    }
}
