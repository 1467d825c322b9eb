//! The interface of a study's store, and its guarantee.

use super::scheduler::Moment;
use super::study::{Begun, Definition, Study};
use anyhow::Result;

/// A change of the study, decided under the store's lock. It may be asked twice when an answer was lost on the way.
pub type Edit<'a> = dyn FnMut(&mut Study, &Moment) -> Result<()> + 'a;

/// Keeps one study. The promise: edits happen one after the other, each sees all before it, and each is kept entirely or
/// not at all. Claims are therefore exclusive whatever the workers do.
pub trait Store: Send {
    /// Finds the study, or begins it. One that has trained nothing begins anew with another definition.
    ///
    /// # Errors
    /// When trials were trained with another definition, or the store cannot be reached.
    fn begin(&mut self, definition: &Definition) -> Result<Begun>;

    /// Changes the study.
    ///
    /// # Errors
    /// The edit's own, with nothing changed; or when the store cannot be reached.
    fn edit(&mut self, edit: &mut Edit) -> Result<()>;

    /// The study as it is; none when it was never begun.
    fn load(&mut self) -> Result<Option<Study>>;

    /// Shows others that a worker's process lives, as long as this store is open or another that attends for the worker;
    /// it ends with the process, however that ends.
    fn attend(&mut self, worker: &str) -> Result<()>;
}
