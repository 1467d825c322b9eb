//! A session's thread: takes batches as they come, runs what is still wanted, and answers each image by itself.

use super::queue::{Batch, Item, Message};
use super::{Backend, BackendError, Inference, InferenceError};
use crate::telemetry::metrics::Metrics;
use runtime::ModelOutputs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::WeakUnboundedSender;

/// The batches that are made up and not begun; whichever session is free takes the next.
pub(super) type Batches = Arc<Mutex<Receiver<Batch>>>;

/// Works until no more batches can come.
pub(super) fn work(
    mut backend: impl Backend,
    batches: &Batches,
    owner: &WeakUnboundedSender<Message>,
    metrics: Option<&Metrics>,
) {
    loop {
        // The lock is held while waiting: whichever thread holds it takes the next batch.
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        let started = Instant::now();
        // The panic hook has logged it; the replies are dropped, which tells those who wait.
        let ran = catch_unwind(AssertUnwindSafe(|| run(&mut backend, batch, metrics))).unwrap_or_default();
        if let Some(owner) = owner.upgrade() {
            drop(owner.send(Message::Finished { n: ran, ran: started.elapsed() }));
        }
    }
}

/// Runs the images of the batch that nobody has given up; how many those were.
fn run(backend: &mut impl Backend, batch: Batch, metrics: Option<&Metrics>) -> usize {
    let now = Instant::now();
    let mine = batch.into_iter().filter(|item| item.ticket.take());
    let (items, late): (Vec<Item>, Vec<Item>) =
        mine.partition(|item| item.deadline.is_none_or(|deadline| deadline > now));
    // Told, not left to find out: its sender's clock may not have come so far.
    for item in late {
        drop(item.reply.send(Err(InferenceError::Expired)));
    }
    if items.is_empty() {
        return 0;
    }
    let images: Vec<&[u8]> = items.iter().map(|item| item.pixels.bytes()).collect();
    let outcome = backend.run(&images);
    let ran = now.elapsed();
    let results = match outcome {
        Ok(outputs) => split(&outputs, items.len()).into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 => vec![Err(error)],
        // One of them is to blame: each runs alone, so that only that one fails.
        Err(_) => images.iter().map(|image| alone(backend, image)).collect(),
    };
    let n = items.len();
    if let Some(metrics) = metrics {
        metrics.batch(n);
    }
    for (item, result) in items.into_iter().zip(results) {
        let timed = |output: Output| output.timed(now - item.submitted, ran);
        drop(item.reply.send(result.map(timed).map_err(InferenceError::from)));
    }
    n
}

fn alone(backend: &mut impl Backend, image: &[u8]) -> Result<Output, BackendError> {
    let outputs = backend.run(&[image])?;
    split(&outputs, 1).pop().ok_or(BackendError::Short)
}

/// One image's share of the outputs.
struct Output {
    logit: f32,
    cam: Vec<f32>,
    cam_size: (u32, u32),
    embedding: Vec<f32>,
}

impl Output {
    fn timed(self, queued: Duration, ran: Duration) -> Inference {
        let Self { logit, cam, cam_size, embedding } = self;
        Inference { logit, cam, cam_size, embedding, queued, ran }
    }
}

fn split(outputs: &ModelOutputs, n: usize) -> Vec<Output> {
    let maps = outputs.cam.chunks_exact((outputs.cam.len() / n).max(1));
    let embeddings = outputs.embedding.chunks_exact((outputs.embedding.len() / n).max(1));
    let images = outputs.logits.iter().zip(maps).zip(embeddings);
    images
        .map(|((logit, cam), embedding)| Output {
            logit: *logit,
            cam: cam.to_vec(),
            cam_size: outputs.cam_size,
            embedding: embedding.to_vec(),
        })
        .collect()
}
