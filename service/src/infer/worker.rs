//! The thread of a session: takes batches, runs the images that are still wanted, and answers each image.

use super::queue::{Batch, Item, Message};
use super::{Backend, BackendError, Inference, InferenceError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::SpanRef;
use runtime::ModelOutputs;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc::WeakUnboundedSender;

/// Batches that have not begun; the next free session takes one.
pub(super) type Batches = Arc<Mutex<Receiver<Batch>>>;

pub(super) struct Worker<B> {
    pub(super) backend: B,
    pub(super) execution: Arc<Value>,
    /// Whether its run times predict the next batch: false for the single-image session.
    pub(super) typical: bool,
    pub(super) owner: WeakUnboundedSender<Message>,
    pub(super) metrics: Option<Arc<Metrics>>,
}

impl<B: Backend> Worker<B> {
    pub(super) fn work(mut self, batches: &Batches) {
        loop {
            // The thread that holds the lock waits for the next batch.
            let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = batch else { return };
            let started = Instant::now();
            // The panic hook has logged it; the replies are dropped, so the senders get `JobLost`.
            let ran = catch_unwind(AssertUnwindSafe(|| self.run(batch))).unwrap_or_default();
            if let Some(owner) = self.owner.upgrade() {
                let cost = self.typical.then(|| (ran, started.elapsed()));
                drop(owner.send(Message::Finished { cost }));
            }
        }
    }

    /// Runs the images of a batch that are not cancelled; returns how many ran.
    fn run(&mut self, batch: Batch) -> usize {
        let now = Instant::now();
        let taken = batch.into_iter().filter(|item| item.ticket.take());
        let (items, late): (Vec<Item>, Vec<Item>) =
            taken.partition(|item| item.deadline.is_none_or(|deadline| deadline > now));
        // Answered here: the sender's timer may not have fired yet.
        for item in late {
            drop(item.reply.send(Err(InferenceError::Expired)));
        }
        if items.is_empty() {
            return 0;
        }
        let images: Vec<&[u8]> = items.iter().map(|item| item.pixels.bytes()).collect();
        let outcome = self.backend.run(&images);
        let ran = now.elapsed();
        let results = match outcome {
            Ok(outputs) => split(&outputs, items.len()).into_iter().map(Ok).collect(),
            Err(error) if items.len() == 1 => vec![Err(error)],
            // One image may have failed the batch: each runs alone, so that only that one fails.
            Err(_) => images.iter().map(|image| self.run_one(image)).collect(),
        };
        let n = items.len();
        if let Some(metrics) = &self.metrics {
            metrics.batch(n);
        }
        let batch_spans: Arc<[SpanRef]> = items.iter().filter_map(|item| item.span).collect();
        for (item, result) in items.into_iter().zip(results) {
            let inference = |Output { logit, cam, cam_size, embedding }| {
                let (execution, queued) = (Arc::clone(&self.execution), now - item.submitted);
                let batch_spans = Arc::clone(&batch_spans);
                Inference {
                    logit,
                    cam,
                    cam_size,
                    embedding,
                    execution,
                    queued,
                    began: now,
                    ran,
                    batch_size: n,
                    batch_spans,
                }
            };
            drop(item.reply.send(result.map(inference).map_err(InferenceError::from)));
        }
        n
    }

    fn run_one(&mut self, image: &[u8]) -> Result<Output, BackendError> {
        let outputs = self.backend.run(&[image])?;
        split(&outputs, 1).pop().ok_or(BackendError::Short)
    }
}

struct Output {
    logit: f32,
    cam: Vec<f32>,
    cam_size: (u32, u32),
    embedding: Vec<f32>,
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
