//! The interface of a study's store.

use super::scheduler::Liveness;
use super::study::{BeginOutcome, Definition, Study};
use anyhow::Result;

/// A change of the study, made under the store's lock. The store may call it again if it lost the reply.
pub type Edit<'a> = dyn FnMut(&mut Study, &Liveness) -> Result<()> + 'a;

/// Keeps one study. Edits are serialised and atomic, and each sees all earlier ones. Claims are therefore
/// exclusive, whatever the workers do.
pub trait Store: Send {
    /// Creates or finds the study. A study without trained trials is reset to a new definition; otherwise
    /// another definition is an error.
    fn begin(&mut self, definition: &Definition) -> Result<BeginOutcome>;

    fn edit(&mut self, edit: &mut Edit) -> Result<()>;

    /// `None` before [`Self::begin`].
    fn load(&mut self) -> Result<Option<Study>>;

    /// Marks a worker's process as alive until it ends or closes its last store.
    fn mark_alive(&mut self, worker: &str) -> Result<()>;
}
