//! Runs one function over many images on all processors.

use super::entry::Entry;
use crate::progress::Meter;
use anyhow::{Result, ensure};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The function's results in the order of the entries.
pub fn parallel<T: Send>(
    entries: &[Entry],
    meter: &Meter,
    of: impl Fn(&Entry) -> T + Sync,
) -> Result<Vec<T>> {
    let n_threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(entries.len().max(1));
    let (next, bar) = (AtomicUsize::new(0), meter.bar());
    let work = || {
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(position) else { return done };
            done.push((position, of(entry)));
            bar.inc(1);
        }
    };
    let mut results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    ensure!(results.len() == entries.len(), "a thread that reads images ended early");
    results.sort_by_key(|(position, _)| *position);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
