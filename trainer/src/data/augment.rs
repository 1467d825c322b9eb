//! Augmentation of training images. The host draws the parameters of each image (`draw`); the device applies
//! them to a whole batch (`apply` and the submodules).
//!
//! The order follows the acquisition: exposure (tone), position (one affine grid), burned-in marks (overlay),
//! detector and resizing (detail, noise), compression by the archive (JPEG), and last CLAHE, as in the
//! service. Compression comes after geometry because the training images may be JPEG copies whose blocks lie
//! on the pixel grid, while hospitals send originals; a network that has seen only one kind can tell the two
//! apart.

mod batch;
mod detail;
mod draw;
mod frame;
mod geometry;
mod jpeg;
mod overlay;
mod tone;

pub use draw::{Detail, Marks, Tone, Variation, draw, generator};

use super::pixels::Pixels;
use tch::{Device, Kind, Tensor};

/// A batch before augmentation, on the host.
#[derive(Debug)]
pub struct Raw {
    /// Grey levels, uint8 `[N, 1, H, W]`.
    pub images: Tensor,
    /// Levels and mask of burned-in marks, uint8 `[N, 2, H, W]`; none if no image has marks.
    pub overlay: Option<Tensor>,
    /// Noise before scaling, int16 `[N, 1, H, W]`; none if no image has noise.
    pub noise: Option<Tensor>,
    pub variations: Vec<Variation>,
}

impl Raw {
    pub fn gather(pixels: &Pixels, positions: &[usize], variations: Vec<Variation>) -> Self {
        Self::new(&pixels.gather(positions), pixels.size, variations)
    }

    fn new(images: &[u8], (width, height): (u32, u32), variations: Vec<Variation>) -> Self {
        let n_pixels = (width * height) as usize;
        let shape = |channels| [variations.len() as i64, channels, i64::from(height), i64::from(width)];
        let noise = detail::draw_noise(&variations, n_pixels);
        Self {
            images: Tensor::from_data_size(images, &shape(1), Kind::Uint8),
            overlay: overlay::paint(&variations, (width, height))
                .map(|planes| Tensor::from_data_size(&planes, &shape(2), Kind::Uint8)),
            noise: noise.map(|noise| Tensor::from_slice(&noise).view(shape(1))),
            variations,
        }
    }
}

/// Applies the variations. Returns integer grey levels 0 to 255 as float32 `[N, 1, H, W]` on the device.
pub fn apply(raw: &Raw, device: Device) -> Tensor {
    tch::no_grad(|| {
        let varied = &raw.variations;
        let images = raw.images.to_device(device).to_kind(Kind::Float);
        let images = frame::swap(&images, varied);
        let mut images = tone::expose(&images, varied);
        images = geometry::warp(images, varied);
        if let Some(overlay) = &raw.overlay {
            images = overlay::lay(&images, &overlay.to_device(device));
        }
        images = detail::change(images, varied);
        if let Some(noise) = &raw.noise {
            images = detail::add_noise(&images, &noise.to_device(device), varied);
        }
        jpeg::compress(images, varied).round_().clamp_(0.0, 255.0)
    })
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
            frame_probability: 0.0,
            frame_width: 0.15,
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
            // Blurs of up to 2.4 pixels, which need kernels of different lengths.
            detail_shrink: 0.23,
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

    /// One phantom per variation, augmented as one batch.
    fn varied(variations: Vec<Variation>) -> Vec<Vec<u8>> {
        let raw = Raw::new(&phantom().repeat(variations.len()), SIZE, variations);
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
        // A shift to the left by an eighth of the width, that is 8 columns; black comes in from the right.
        let moved = with([1.0, 0.0, 0.25, 0.0, 1.0, 0.0]);
        for (row, original) in moved.chunks(64).zip(phantom().chunks(64)) {
            assert_eq!(row[..56], original[8..]);
            assert_eq!(row[56..], [0; 8]);
        }
        assert!(with([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]).iter().eq(phantom().iter().rev()));
    }

    #[test]
    fn a_frame_comes_from_the_next_image_and_the_middle_stays() {
        let plain = drawn(&still(), 1, 0, 0);
        let inverted = Variation { tone: Tone { contrast: -1.0, ..plain.tone }, ..plain.clone() };
        let images = varied(vec![inverted, Variation { frame: 0.25, ..plain }]);
        // Frames are swapped before tone: until then both images are the same phantom.
        assert_eq!(images[1], phantom());
        let shares = [0.0, 0.25].map(|frame| Variation { frame, ..Variation::none(1) });
        let batch = Tensor::from_slice(&[0.0f32, 1.0]).view([2, 1, 1, 1]).repeat([1, 1, 8, 8]);
        let swapped = frame::swap(&batch, &shares);
        assert!(swapped.get(0).sum(Kind::Float).double_value(&[]) < 1e-9);
        let middle = swapped.get(1).sum(Kind::Float).double_value(&[]);
        assert!((middle - 16.0).abs() < 1e-9, "the middle four by four");
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
