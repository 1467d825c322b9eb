//! Draws the augmentation parameters of an image.

use crate::config::Augmentation;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator of one sample in one epoch. It depends on nothing else, so neither the order of threads nor
/// resuming a run changes an augmented image.
pub fn generator(seed: u64, epoch: usize, sample: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((epoch as u64) << 32 | sample as u64);
    rng
}

#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    pub tone: Tone,
    /// Rows of the 2x3 matrix from output to input coordinates, both -1 to 1 over the image.
    pub affine: [f64; 6],
    /// Width of the frame from another image, as a share of the side; 0 for none.
    pub frame: f64,
    pub marks: Marks,
    pub detail: Option<Detail>,
    /// Standard deviation as a share of white, and seed.
    pub noise: (f64, u64),
    pub jpeg_quality: Option<u8>,
}

/// `((x^gamma - 1/2) contrast + 1/2 + brightness)` for `x` in 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    pub gamma: f64,
    pub contrast: f64,
    pub brightness: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detail {
    /// Standard deviation of the blur in pixels.
    pub sigma: f64,
    /// Factor of the detail that the blur removes: 0 gives the blurred image, 1 the original, more sharpens.
    pub gain: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Rectangles of grey or noise in the corners.
    pub rectangles: bool,
    pub letters: u32,
    pub seed: u64,
    /// Largest side of a rectangle, in thousandths of the image's side.
    pub largest_side: u32,
}

impl Variation {
    /// The identity; `seed` is for marks and noise that a caller adds.
    pub const fn none(seed: u64) -> Self {
        Self {
            tone: Tone { gamma: 1.0, contrast: 1.0, brightness: 0.0 },
            affine: IDENTITY,
            frame: 0.0,
            marks: Marks { rectangles: false, letters: 0, seed, largest_side: 0 },
            detail: None,
            noise: (0.0, seed),
            jpeg_quality: None,
        }
    }

    pub fn moves(&self) -> bool {
        self.affine != IDENTITY
    }
}

const IDENTITY: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

pub fn draw(config: &Augmentation, rng: &mut ChaCha8Rng) -> Variation {
    let mut around = |limit: f64| rng.random_range(-limit..=limit);
    let tone = Tone {
        gamma: around(config.gamma).exp(),
        contrast: 1.0 + around(config.contrast),
        brightness: around(config.brightness),
    };
    Variation {
        tone,
        affine: affine(config, rng),
        frame: if rng.random_bool(config.frame_probability) {
            rng.random_range(0.0..=config.frame_width)
        } else {
            0.0
        },
        marks: Marks {
            rectangles: rng.random_bool(config.occlusion_probability),
            letters: u32::from(rng.random_bool(config.letters_probability)),
            seed: rng.random(),
            largest_side: (config.occlusion_side * 1000.0).round() as u32,
        },
        detail: detail(config, rng),
        noise: (rng.random_range(0.0..=config.noise), rng.random()),
        jpeg_quality: rng.random_bool(config.jpeg_probability).then(|| {
            let [low, high] = config.jpeg_quality;
            rng.random_range(low..=high)
        }),
    }
}

fn affine(config: &Augmentation, rng: &mut ChaCha8Rng) -> [f64; 6] {
    let mirrored = rng.random_bool(config.flip_probability);
    let mut matrix = if rng.random_bool(config.warp_probability) { warp(config, rng) } else { IDENTITY };
    if mirrored {
        matrix[0] = -matrix[0];
        matrix[3] = -matrix[3];
    }
    matrix
}

fn warp(config: &Augmentation, rng: &mut ChaCha8Rng) -> [f64; 6] {
    let angle = rng.random_range(-config.rotation_degrees..=config.rotation_degrees).to_radians();
    let [smallest, largest] = config.scale;
    let scale = rng.random_range(smallest..=largest);
    // Both sides change by the square root of the aspect, so that the area stays the same.
    let stretch = (rng.random_range(-config.aspect..=config.aspect) / 2.0).exp();
    // Coordinates from -1 to 1 have length 2.
    let mut shift = || 2.0 * rng.random_range(-config.translation..=config.translation);
    let (x, y) = (shift(), shift());
    let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
    [cos / stretch, -sin * stretch, x, sin / stretch, cos * stretch, y]
}

/// Shrinking by a factor `s` with a triangle filter and enlarging again blurs like a kernel of variance
/// `(1/s^2 - 1)/3` pixels squared: two triangles of half-width `1/s`, less the one that an image has anyway.
fn detail(config: &Augmentation, rng: &mut ChaCha8Rng) -> Option<Detail> {
    rng.random_bool(config.detail_probability).then(|| {
        let shrink = rng.random_range(config.detail_shrink..=1.0);
        let [least, most] = config.detail_gain;
        Detail { sigma: ((shrink.powi(-2) - 1.0) / 3.0).sqrt(), gain: rng.random_range(least..=most) }
    })
}
