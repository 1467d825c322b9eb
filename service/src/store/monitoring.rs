//! The tables of monitoring. The job's statements are methods of [`Lease`](super::Lease), those of operators
//! methods of the annotation writer, and everyone reads through the reader.

mod alarms;
mod baselines;
mod decisions;
mod labels;
mod results;
mod rows;
mod state;
mod step;

pub use alarms::{AlarmEvent, StoredAlarm};
pub use baselines::{NewBaseline, StoredBaseline};
pub use decisions::{Decision, DecisionKind};

pub use results::StoredResults;
pub use rows::RowBatch;
pub use state::{Cursor, StoredState, StoredStream};
pub use step::{NewAlarm, NewSample, NewWindow, Step, StepInput, StepOutcome};

/// Who changes something, and in which request.
#[derive(Debug, Clone)]
pub struct Operator {
    pub actor: String,
    pub request_id: String,
}
