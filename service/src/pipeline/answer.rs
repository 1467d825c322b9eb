//! The result of a case, which exists only with the receipt of its committed row.

use super::PredictionError;
use super::examine::{Examination, Stop};
use crate::audit::AuditReceipt;
use crate::record::sealed::PhaseTimings;
use crate::serving::Serving;
use std::sync::Arc;

/// A prediction whose row is committed.
pub struct Answer {
    pub(crate) receipt: AuditReceipt,
    pub(crate) prediction: Examination,
    pub(crate) serving: Arc<Serving>,
    pub(crate) timings: AnswerTimings,
}

/// A rejection, cancellation or failure whose row is committed.
#[derive(Debug)]
pub struct Stopped {
    receipt: AuditReceipt,
    stop: Stop,
}

/// Milliseconds by phase.
#[derive(Debug, Clone, Copy)]
pub struct AnswerTimings {
    /// The phases before the row was committed.
    pub phases: PhaseTimings,
    pub audit: f64,
    /// From the request's head to the committed row.
    pub total: f64,
}

impl AnswerTimings {
    /// The phases that were reached, in order.
    pub fn by_phase(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let PhaseTimings { admission, decode, preprocess, queue, infer } = self.phases;
        let phases = [admission, decode, preprocess, queue, infer, Some(self.audit), Some(self.total)];
        let names = crate::telemetry::metrics::PHASES;
        names.into_iter().zip(phases).filter_map(|(name, took)| Some((name, took?)))
    }
}

impl Answer {
    pub(super) fn new(
        receipt: AuditReceipt,
        outcome: Result<Examination, Stop>,
        serving: Arc<Serving>,
        timings: AnswerTimings,
    ) -> Result<Self, PredictionError> {
        match outcome {
            Ok(prediction) => Ok(Self { receipt, prediction, serving, timings }),
            Err(stop) => Err(PredictionError::Stopped(Box::new(Stopped { receipt, stop }))),
        }
    }

    /// The predicted class; `None` if the decision is `refer`, as for the next two.
    pub fn class(&self) -> Option<&str> {
        self.serving.model.class(self.prediction.decision.kind)
    }

    /// Calibrated probability of the positive class.
    pub fn probability(&self) -> Option<f64> {
        self.unless_referred(self.prediction.probability.value())
    }

    /// Calibrated probability of the predicted class.
    pub fn confidence(&self) -> Option<f64> {
        self.unless_referred(self.prediction.decision.confidence)
    }

    fn unless_referred(&self, number: f64) -> Option<f64> {
        self.prediction.decision.kind.names_a_class().then_some(number)
    }
}

impl Stopped {
    pub fn into_parts(self) -> (AuditReceipt, Stop) {
        (self.receipt, self.stop)
    }
}
