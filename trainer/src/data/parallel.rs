//! Maps a function over many images on all processors.

use super::entry::Entry;
use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Results of `of` in the order of the entries; it takes the position of an entry and the entry.
pub fn parallel<T: Send>(
    entries: &[Entry],
    progress: &ProgressBar,
    of: impl Fn(usize, &Entry) -> T + Sync,
) -> Result<Vec<T>> {
    let n_threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(entries.len().max(1));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(position) else { return done };
            done.push((position, of(position, entry)));
            progress.inc(1);
        }
    };
    let mut results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    ensure!(results.len() == entries.len(), "a thread that reads images stopped early");
    results.sort_by_key(|(position, _)| *position);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
