//! An observation: what monitoring reads of one audit row.

use crate::quantity::N_INPUTS;
use crate::stream::Model;
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// One leaf of the audit tree with its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub leaf_index: u64,
    /// Id of the audit row; breaks ties between equal values.
    pub id: Uuid,
    /// When the request arrived. Windows and patient-days count by this time, in UTC.
    pub received_at: OffsetDateTime,
    pub site: Arc<str>,
    /// Salted hash of the patient and the day; of the request where no patient was stated.
    pub patient_day: u64,
    /// Whether an earlier leaf with the same outcome has the same patient-day. Images of one patient are not
    /// independent: detectors use only the first.
    pub is_repeat: bool,
    pub outcome: Outcome,
    /// View position, as in the row.
    pub view: Option<Arc<str>>,
    /// Values in the order of [`crate::quantity::INPUTS`]; NaN for what the row's version of the statistics
    /// lacks. `None` for an image that was not preprocessed.
    pub inputs: Option<[f64; N_INPUTS]>,
    pub score: Option<Score>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Predicted,
    /// With the reason's code.
    Rejected(Arc<str>),
    Expired,
    Failed,
}

/// What the model gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub model: Arc<Model>,
    /// Calibrated probability of the positive class.
    pub probability: f64,
    /// Operating point of the model.
    pub threshold: f64,
    /// `f64::MAX` for an embedding that is not finite: rank it, never average it.
    pub ood_score: f64,
    /// Coordinates of the embedding along the bundle's components, in standard deviations.
    pub coordinates: Vec<f32>,
    /// Whether the answer required a review.
    pub review_required: bool,
}

/// A label, joined with its row.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledObservation {
    /// Position in the order in which labels are read.
    pub position: u64,
    pub prediction_id: Uuid,
    pub received_at: OffsetDateTime,
    /// When the label was recorded, by the database clock.
    pub recorded_at: OffsetDateTime,
    pub site: Arc<str>,
    pub view: Option<Arc<str>>,
    pub patient_day: u64,
    /// As in the row. Detectors skip repeats.
    pub is_repeat: bool,
    pub score: Score,
    pub positive: bool,
    /// Whether an earlier label of the same row was read before: this one corrects it.
    pub is_correction: bool,
    /// Probability with which the review sample drew the image, if it did. 1 for an image whose answer
    /// required a review.
    pub inclusion_probability: Option<f64>,
}
