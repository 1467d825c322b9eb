//! Checks that the outputs of an image do not depend on its batch.

use crate::progress::say;
use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::{ModelOutputs, Session};

const N_BATCHES: usize = 16;
const MAX_BATCH: usize = 8;

/// Runs images alone and in random batches. `Some(1)` if batching changes an output: fix the batch to 1.
pub fn try_batches(session: &mut Session, images: &[&[u8]], seed: u64) -> Result<Option<u32>> {
    let images = &images[..images.len().min(2 * MAX_BATCH)];
    let alone = images.iter().map(|image| Ok(session.run(image, 1)?)).collect::<Result<Vec<_>>>()?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..N_BATCHES {
        let n = random.random_range(2..=MAX_BATCH);
        let members: Vec<usize> = (0..n).map(|_| random.random_range(0..images.len())).collect();
        let pixels: Vec<u8> = members.iter().flat_map(|member| images[*member]).copied().collect();
        let batch = session.run(&pixels, n)?;
        for (position, member) in members.iter().enumerate() {
            if !same_bits(&batch, position, &alone[*member]) {
                say(format!("outputs differ between a batch of {n} and a single image: batch fixed at 1"));
                return Ok(Some(1));
            }
        }
    }
    Ok(None)
}

/// Whether the image at `position` has the same outputs in a batch as alone, to the bit.
pub fn same_bits(batch: &ModelOutputs, position: usize, alone: &ModelOutputs) -> bool {
    let equal = |batch: &[f32], alone: &[f32]| {
        let own = &batch[position * alone.len()..(position + 1) * alone.len()];
        own.iter().zip(alone).all(|(a, b)| a.to_bits() == b.to_bits())
    };
    equal(&batch.logits, &alone.logits)
        && equal(&batch.cam, &alone.cam)
        && equal(&batch.embedding, &alone.embedding)
}
