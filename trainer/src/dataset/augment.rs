//! Augmentation: how training images vary. What varies is drawn on the host, image by image (`draw`); what follows from
//! it is done to a whole batch on the device (`apply` and the modules below it).
//!
//! The order imitates an image's life: the patient is exposed differently (tone) and lies differently (geometry, one affine
//! grid), marks are burned in or cropped away (overlay), the detector and the resize are sharper, softer or noisier
//! (detail, noise), the archive compresses (JPEG), and CLAHE comes last as it does in the service. Compression after
//! geometry matters: the training images are JPEG copies whose blocks lie on the pixel grid, hospitals send originals
//! without them, and a network that meets one kind only tells them apart.

mod detail;
mod draw;
mod geometry;
mod jpeg;
mod overlay;
mod tone;

use overlay::paint;

pub use draw::{Detail, Marks, Tone, Variation, draw, generator};

use super::pixels::Pixels;
use tch::{Device, Kind, Tensor};

/// A batch as the loader hands it over: uint8 `[N, 1, H, W]`, what is laid over it, and what is drawn for each image.
#[derive(Debug)]
pub struct Raw {
    /// Grey levels, uint8 `[N, 1, H, W]`.
    pub images: Tensor,
    /// Levels and mask of burned-in marks, uint8 `[N, 2, H, W]`; none where no image of the batch has any.
    pub overlay: Option<Tensor>,
    /// One variation an image.
    pub variations: Vec<Variation>,
}

impl Raw {
    /// Gathers images and paints their marks.
    pub fn gather(pixels: &Pixels, positions: &[usize], variations: Vec<Variation>) -> Self {
        let (width, height) = pixels.size;
        let n_pixels = (width * height) as usize;
        let shape = |channels| [positions.len() as i64, channels, i64::from(height), i64::from(width)];
        let mut images = Vec::with_capacity(positions.len() * n_pixels);
        let mut overlay = vec![0; positions.len() * 2 * n_pixels];
        let mut marked = false;
        let planes = overlay.chunks_exact_mut(2 * n_pixels);
        for ((position, variation), planes) in positions.iter().zip(&variations).zip(planes) {
            let (levels, mask) = planes.split_at_mut(n_pixels);
            marked |= paint(&variation.marks, pixels.size, levels, mask);
            images.extend(pixels.image(*position));
        }
        Self {
            images: Tensor::from_data_size(&images, &shape(1), Kind::Uint8),
            overlay: marked.then(|| Tensor::from_data_size(&overlay, &shape(2), Kind::Uint8)),
            variations,
        }
    }
}

/// The varied batch: whole grey levels 0 to 255, float32 `[N, 1, H, W]`, on the device.
pub fn apply(raw: &Raw, device: Device) -> Tensor {
    tch::no_grad(|| {
        let varied = &raw.variations;
        let images = raw.images.to_device(device).to_kind(Kind::Float);
        let mut images = tone::expose(&images, varied);
        if varied.iter().any(Variation::moves) {
            images = geometry::warp(&images, varied);
        }
        if let Some(overlay) = &raw.overlay {
            images = overlay::lay(&images, &overlay.to_device(device));
        }
        images = detail::change(&images, varied);
        images = detail::add_noise(&images, varied);
        jpeg::compress(&images, varied).round().clamp(0.0, 255.0)
    })
}

/// One value an image, float32 `[N, 1, 1, 1]`, beside the images.
fn column(images: &Tensor, values: impl Iterator<Item = f64>) -> Tensor {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    Tensor::from_slice(&values).view([-1, 1, 1, 1]).to_device(images.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Augmentation;
    use cxr::phantom::{PhantomSpec, generate};

    const SIZE: (u32, u32) = (64, 48);

    fn still() -> Augmentation {
        Augmentation {
            flip_probability: 0.0,
            warp_probability: 1.0,
            rotation_degrees: 0.0,
            translation: 0.0,
            scale: [1.0, 1.0],
            aspect: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            gamma: 0.0,
            detail_probability: 1.0,
            detail_shrink: 0.6,
            detail_gain: [1.0, 1.0],
            occlusion_probability: 0.0,
            occlusion_side: 0.25,
            letters_probability: 0.0,
            noise: 0.0,
            jpeg_probability: 0.0,
            jpeg_quality: [60, 95],
        }
    }

    fn lively() -> Augmentation {
        Augmentation {
            flip_probability: 0.5,
            rotation_degrees: 4.0,
            aspect: 0.1,
            brightness: 0.02,
            contrast: 0.02,
            gamma: 0.02,
            detail_gain: [0.0, 1.5],
            noise: 0.02,
            occlusion_probability: 0.5,
            letters_probability: 0.5,
            jpeg_probability: 0.5,
            ..still()
        }
    }

    fn phantom() -> Vec<u8> {
        generate(&PhantomSpec { seed: 1, width: SIZE.0, height: SIZE.1, opacity: true })
    }

    /// Phantoms as the loader would hand them over, one a sample.
    fn varied(variations: Vec<Variation>) -> Vec<Vec<u8>> {
        let n_pixels = phantom().len();
        let n = variations.len();
        let mut overlay = vec![0; n * 2 * n_pixels];
        for (variation, planes) in variations.iter().zip(overlay.chunks_exact_mut(2 * n_pixels)) {
            let (levels, mask) = planes.split_at_mut(n_pixels);
            paint(&variation.marks, SIZE, levels, mask);
        }
        let shape = |channels| [n as i64, channels, i64::from(SIZE.1), i64::from(SIZE.0)];
        let raw = Raw {
            images: Tensor::from_data_size(&phantom().repeat(n), &shape(1), Kind::Uint8),
            overlay: Some(Tensor::from_data_size(&overlay, &shape(2), Kind::Uint8)),
            variations,
        };
        let images = apply(&raw, Device::Cpu).to_kind(Kind::Uint8).flatten(1, -1);
        Vec::<Vec<u8>>::try_from(images).unwrap()
    }

    fn drawn(config: &Augmentation, seed: u64, epoch: usize, sample: usize) -> Variation {
        draw(config, &mut generator(seed, epoch, sample))
    }

    fn one(config: &Augmentation, seed: u64, epoch: usize, sample: usize) -> Vec<u8> {
        varied(vec![drawn(config, seed, epoch, sample)]).remove(0)
    }

    #[test]
    fn without_variation_an_image_stays_itself_and_a_mirror_mirrors() {
        assert_eq!(one(&still(), 1, 0, 0), phantom());
        let mirrored = one(&Augmentation { flip_probability: 1.0, ..still() }, 1, 0, 0);
        for (row, original) in mirrored.chunks(64).zip(phantom().chunks(64)) {
            assert!(row.iter().eq(original.iter().rev()));
        }
    }

    #[test]
    fn geometry_moves_the_image_by_what_it_says() {
        let with = |affine| varied(vec![Variation { affine, ..drawn(&still(), 1, 0, 0) }]).remove(0);
        // An eighth of the width to the left: what was 8 columns to the right is here now, black comes in.
        let moved = with([1.0, 0.0, 0.25, 0.0, 1.0, 0.0]);
        for (row, original) in moved.chunks(64).zip(phantom().chunks(64)) {
            assert_eq!(row[..56], original[8..]);
            assert_eq!(row[56..], [0; 8]);
        }
        assert!(with([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]).iter().eq(phantom().iter().rev()));
    }

    #[test]
    fn detail_softens_and_sharpens() {
        let roughness =
            |pixels: &[u8]| pixels.windows(2).map(|w| f64::from(w[0].abs_diff(w[1]))).sum::<f64>();
        let with = |gain| one(&Augmentation { detail_gain: [gain, gain], ..still() }, 1, 0, 0);
        assert!(roughness(&with(0.0)) < roughness(&phantom()));
        assert!(roughness(&with(1.8)) > roughness(&phantom()));
    }

    #[test]
    fn marks_stay_out_of_the_middle() {
        let config = Augmentation { occlusion_probability: 1.0, letters_probability: 1.0, ..still() };
        let mut n_changed = 0;
        for sample in 0..50 {
            let image = one(&config, 42, 1, sample);
            let changed = |(x, y): (usize, usize)| image[y * 64 + x] != phantom()[y * 64 + x];
            n_changed += (0..16).flat_map(|y| (0..64).map(move |x| (x, y))).filter(|at| changed(*at)).count();
            assert!(!(24..32).flat_map(|y| (26..38).map(move |x| (x, y))).any(changed), "sample {sample}");
        }
        assert!(n_changed > 1000);
    }

    #[test]
    fn variation_follows_from_seed_epoch_and_sample_alone_and_neighbours_do_not_matter() {
        let config = lively();
        assert_eq!(one(&config, 42, 3, 7), one(&config, 42, 3, 7));
        for (seed, epoch, sample) in [(43, 3, 7), (42, 4, 7), (42, 3, 8)] {
            assert_ne!(one(&config, 42, 3, 7), one(&config, seed, epoch, sample));
        }
        let batch = varied((0..9).map(|sample| drawn(&config, 42, 3, sample)).collect());
        for (sample, image) in batch.iter().enumerate() {
            assert_eq!(*image, one(&config, 42, 3, sample), "sample {sample}");
        }
    }
}
