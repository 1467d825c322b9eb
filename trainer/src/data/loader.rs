//! The loader: batches of an epoch in their order, gathered ahead of the step by threads of their own. What varies is
//! drawn here; the step has it done on its device.

use super::augment::{self, Raw, Variation, draw, generator};
use super::pixels::Pixels;
use crate::config::Augmentation;
use anyhow::{Result, anyhow};
use cxr::preprocess::{ClaheSpec, clahe};
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
    raw: Raw,
    labels: Tensor,
    clahe: Option<ClaheSpec>,
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

    /// The varied images: grey levels 0 to 255, float32 `[N, 1, H, W]`, on the device.
    pub fn images(&self, device: Device) -> Result<Tensor> {
        let images = augment::apply(&self.raw, device);
        match &self.clahe {
            Some(spec) => equalise(&images, spec),
            None => Ok(images),
        }
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

    /// The batch of these images, made by the calling thread.
    pub(crate) fn batch(&self, epoch: usize, positions: &[usize]) -> Batch {
        let variations: Vec<Variation> = positions
            .iter()
            .map(|position| draw(&self.augmentation, &mut generator(self.seed, epoch, *position)))
            .collect();
        let labels: Vec<f32> =
            positions.iter().map(|i| f32::from(u8::from(self.pixels.entries[*i].positive))).collect();
        Batch {
            raw: Raw::gather(&self.pixels, positions, variations),
            labels: Tensor::from_slice(&labels).view([-1, 1]),
            clahe: self.clahe,
        }
    }
}

/// CLAHE on every image, where it is configured, as the service does it.
fn equalise(images: &Tensor, spec: &ClaheSpec) -> Result<Tensor> {
    let (height, width) = (images.size()[2] as u32, images.size()[3] as u32);
    let mut pixels: Vec<u8> =
        Vec::try_from(images.to_kind(Kind::Uint8).flatten(0, -1).to_device(Device::Cpu))?;
    for image in pixels.chunks_exact_mut((width * height) as usize) {
        clahe::apply(image, width, height, spec);
    }
    Ok(Tensor::from_data_size(&pixels, &images.size(), Kind::Uint8)
        .to_device(images.device())
        .to_kind(Kind::Float))
}

/// Iterates over an epoch's batches; the threads take turns, so the order never depends on their speed.
#[derive(Debug)]
pub struct Batches {
    workers: Vec<Receiver<Batch>>,
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
        Some(received.map_err(|_| anyhow!("a thread that prepares images stopped early")))
    }
}
