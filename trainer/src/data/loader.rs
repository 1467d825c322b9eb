//! The loader: worker threads prepare the batches of an epoch ahead of the training step. They draw the
//! augmentation; the step applies it on its device.

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

/// Batches that each thread prefetches.
const PREFETCH: usize = 2;
/// Sample number whose generator draws the order of an epoch; no data set is as large.
const ORDER: usize = u32::MAX as usize;

#[derive(Debug)]
pub struct Batch {
    raw: Raw,
    labels: Tensor,
    clahe: Option<ClaheSpec>,
}

impl Batch {
    pub fn n_images(&self) -> usize {
        self.labels.size()[0] as usize
    }

    /// The augmented images: grey levels 0 to 255, float32 `[N, 1, H, W]`, on the device.
    pub fn images(&self, device: Device) -> Result<Tensor> {
        let images = augment::apply(&self.raw, device);
        match &self.clahe {
            Some(spec) => equalise(&images, spec),
            None => Ok(images),
        }
    }

    /// 1 for positive, 0 for negative: float32 `[N, 1]`, on the device.
    pub fn labels(&self, device: Device) -> Tensor {
        self.labels.to_device(device)
    }
}

#[derive(Debug, Clone)]
pub struct Loader {
    /// The train fold, before CLAHE.
    pub pixels: Arc<Pixels>,
    pub augmentation: Augmentation,
    pub clahe: Option<ClaheSpec>,
    /// Seed of the order and the augmentation.
    pub seed: u64,
    pub batch_size: usize,
    pub workers: usize,
}

impl Loader {
    /// Batches per epoch. The images that do not fill the last batch are skipped in this epoch.
    pub fn n_batches(&self) -> usize {
        self.pixels.len() / self.batch_size
    }

    /// The batches of an epoch. The threads take turns, so the order does not depend on their speed.
    pub fn epoch(&self, epoch: usize) -> impl Iterator<Item = Result<Batch>> + use<> {
        let mut order: Vec<usize> = (0..self.pixels.len()).collect();
        order.shuffle(&mut generator(self.seed, epoch, ORDER));
        let order = Arc::new(order);
        let n_workers = self.workers;
        let workers: Vec<Receiver<Batch>> = (0..n_workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(PREFETCH);
                let (loader, order) = (self.clone(), Arc::clone(&order));
                thread::spawn(move || {
                    let batches = order.chunks_exact(loader.batch_size).skip(worker).step_by(n_workers);
                    for positions in batches {
                        // The receiver is dropped when an epoch is abandoned.
                        if sender.send(loader.batch(epoch, positions)).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        (0..self.n_batches()).map(move |batch| {
            workers[batch % n_workers].recv().map_err(|_| anyhow!("a loader thread stopped early"))
        })
    }

    /// Prepares a batch in the calling thread.
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

/// Applies CLAHE on the host.
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
