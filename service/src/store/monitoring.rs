//! The tables of monitoring. The job's statements are methods of [`Lease`](super::Lease), those of operators
//! methods of the annotation writer, and everyone reads through the reader.

mod alarms;
mod baselines;
mod decisions;
mod figures;
mod labels;
mod results;
mod rows;
mod state;
mod step;

pub use alarms::StoredAlarm;
pub use baselines::{NewBaseline, StoredBaseline};
pub use decisions::{Decision, DecisionKind};
pub use figures::Approval;

pub use rows::RowBatch;
pub use state::{Cursor, JobState, StoredStream};
pub use step::{NewAlarm, NewSample, NewWindow, Step, StepInput, StepOutcome};
