//! The loader: batches of an epoch in their order, prepared ahead of the step by threads of their own.

use super::augment::{generator, vary};
use super::pixels::Pixels;
use crate::config::Augmentation;
use anyhow::{Result, bail};
use cxr::preprocess::ClaheSpec;
use rand::seq::SliceRandom;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use tch::{Device, Kind, Tensor};

/// Batches that each thread prepares ahead.
const AHEAD: usize = 2;
/// The sample number under which the order of an epoch is drawn; no dataset is as large.
const ORDER: usize = u32::MAX as usize;

/// Images on their way to a step.
#[derive(Debug)]
pub struct Batch {
    images: Tensor,
    labels: Tensor,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.size()[0] as usize
    }

    /// Whether it holds none; never true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Grey levels 0 to 255, float32 `[N, 1, H, W]`, on the device.
    pub fn images(&self, device: Device) -> Tensor {
        self.images.to_device(device).to_kind(Kind::Float)
    }

    /// 1 for pneumonia, 0 for normal: float32 `[N, 1]`, on the device.
    pub fn labels(&self, device: Device) -> Tensor {
        self.labels.to_device(device)
    }
}

/// Makes the batches of any epoch.
#[derive(Debug, Clone)]
pub struct Loader {
    /// The train fold, before CLAHE.
    pub pixels: Arc<Pixels>,
    /// How images vary.
    pub augmentation: Augmentation,
    /// CLAHE, which comes last.
    pub clahe: Option<ClaheSpec>,
    /// Seed of order and variation.
    pub seed: u64,
    /// Images a batch.
    pub batch_size: usize,
    /// Threads.
    pub workers: usize,
}

impl Loader {
    /// Batches an epoch; images that do not fill the last one wait for another epoch's order.
    pub fn n_batches(&self) -> usize {
        self.pixels.len() / self.batch_size
    }

    /// The batches of an epoch.
    pub fn epoch(&self, epoch: usize) -> Batches {
        let mut order: Vec<usize> = (0..self.pixels.len()).collect();
        order.shuffle(&mut generator(self.seed, epoch, ORDER));
        let order = Arc::new(order);
        let n_workers = self.workers;
        let workers = (0..n_workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(AHEAD);
                let (loader, order) = (self.clone(), Arc::clone(&order));
                thread::spawn(move || {
                    let batches = order.chunks_exact(loader.batch_size).skip(worker).step_by(n_workers);
                    for positions in batches {
                        // The receiver is gone when an epoch is abandoned.
                        if sender.send(loader.batch(epoch, positions)).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        Batches { workers, next: 0, end: self.n_batches() }
    }

    fn batch(&self, epoch: usize, positions: &[usize]) -> Result<Batch> {
        let (width, height) = self.pixels.size;
        let mut images = Vec::with_capacity(positions.len() * (width * height) as usize);
        let mut labels = Vec::with_capacity(positions.len());
        for position in positions {
            let mut rng = generator(self.seed, epoch, *position);
            let pixels = self.pixels.image(*position);
            let clahe = self.clahe.as_ref();
            images.extend(vary(pixels, self.pixels.size, &self.augmentation, clahe, &mut rng)?);
            labels.push(f32::from(u8::from(self.pixels.entries[*position].positive)));
        }
        let n = positions.len() as i64;
        Ok(Batch {
            images: Tensor::from_data_size(
                &images,
                &[n, 1, i64::from(height), i64::from(width)],
                Kind::Uint8,
            ),
            labels: Tensor::from_slice(&labels).view([-1, 1]),
        })
    }
}

/// Iterates over an epoch's batches; the threads take turns, so the order never depends on their speed.
#[derive(Debug)]
pub struct Batches {
    workers: Vec<Receiver<Result<Batch>>>,
    next: usize,
    end: usize,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        let received = self.workers[self.next % self.workers.len()].recv();
        self.next += 1;
        Some(received.unwrap_or_else(|_| bail!("a thread that prepares images stopped early")))
    }
}
