//! Generated chest-like radiographs with a known finding, for tests, demos and golden inputs. Figures
//! measured on them say nothing about patients. Needs the feature `phantom`.
//!
//! The bytes depend only on the seed, on every platform: the arithmetic is `+ - * /`, square root and
//! rounding in `f64`, which IEEE 754 defines exactly. `exp`, `sin` and `powf` differ between mathematics
//! libraries, so they are not used, nor is fused multiply-add.

mod anatomy;
mod opacity;

use anatomy::{Chest, Point, smooth_step};
use opacity::Opacity;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Parameters of a phantom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhantomSpec {
    /// Determines patient, position, exposure, noise and opacities.
    pub seed: u64,
    /// Width in pixels. Below 64 little of the anatomy remains visible.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// Whether to add one to three consolidations. Everything else stays the same: two images with one seed
    /// differ only in the finding, so use different seeds for different patients.
    pub opacity: bool,
}

/// Draws the radiograph: 8-bit grey, row-major, dense tissue bright.
pub fn generate(spec: &PhantomSpec) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let chest = Chest::draw(&mut rng);
    let pose = Pose::draw(&mut rng);
    let exposure = Exposure::draw(&mut rng);
    // A separate stream, so that the opacities do not change other draws.
    let mut finding_rng = ChaCha8Rng::seed_from_u64(spec.seed);
    finding_rng.set_stream(1);
    let opacities = if spec.opacity { Opacity::draw_some(&chest, &mut finding_rng) } else { Vec::new() };

    let half_side_px = f64::from(spec.width.min(spec.height)) / 2.0;
    let centred = |px: u32, side: u32| (f64::from(px) + 0.5 - f64::from(side) / 2.0) / half_side_px;
    let mut pixels = Vec::with_capacity(spec.width as usize * spec.height as usize);
    for row in 0..spec.height {
        let y = centred(row, spec.height);
        for column in 0..spec.width {
            let x = centred(column, spec.width);
            let at = pose.body_point(x, y);
            let consolidated = opacities.iter().map(|opacity| opacity.fill(at)).fold(0.0, f64::max);
            let level = exposure.grey_level(chest.density(at, consolidated), x, y);
            // Adding a half before truncation rounds to nearest.
            pixels.push((level + exposure.noise(&mut rng) + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}

/// Encodes 8-bit grey pixels as PNG.
///
/// # Panics
/// If `pixels` does not hold `width * height` pixels, or a side is 0.
pub fn encode_png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    written.expect("a Vec takes every byte, so only the sizes can be wrong");
    bytes
}

/// Position of the patient: maps image coordinates (the shorter side runs from -1 to 1) to body coordinates.
struct Pose {
    shift_x: f64,
    shift_y: f64,
    scale: f64,
    cosine: f64,
    sine: f64,
}

impl Pose {
    fn draw(rng: &mut impl Rng) -> Self {
        // The tangent of half the angle gives sine and cosine by division alone. 0.045 is 5 degrees.
        let t: f64 = rng.random_range(-0.045..0.045);
        Self {
            shift_x: rng.random_range(-0.06..0.06),
            shift_y: rng.random_range(-0.06..0.06),
            scale: rng.random_range(0.93..1.08),
            cosine: (1.0 - t * t) / (1.0 + t * t),
            sine: 2.0 * t / (1.0 + t * t),
        }
    }

    fn body_point(&self, x: f64, y: f64) -> Point {
        let (x, y) = ((x - self.shift_x) * self.scale, (y - self.shift_y) * self.scale);
        Point { x: self.cosine * x + self.sine * y, y: self.cosine * y - self.sine * x }
    }
}

/// Maps density to grey levels.
struct Exposure {
    offset: f64,
    gain: f64,
    /// Curvature of the tone curve: above 0 it lifts the middle tones.
    bend: f64,
    gradient_x: f64,
    gradient_y: f64,
    noise_levels: f64,
}

impl Exposure {
    fn draw(rng: &mut impl Rng) -> Self {
        Self {
            offset: rng.random_range(-0.02..0.05),
            gain: rng.random_range(0.84..1.06),
            bend: rng.random_range(-0.25..0.25),
            gradient_x: rng.random_range(-0.05..0.05),
            gradient_y: rng.random_range(-0.05..0.05),
            noise_levels: rng.random_range(1.5..4.0),
        }
    }

    fn grey_level(&self, density: f64, x: f64, y: f64) -> f64 {
        // Outside the body the beam is not attenuated, so no gradient shows.
        let in_body = smooth_step(0.05, 0.25, density);
        let v = self.offset + self.gain * density + in_body * (self.gradient_x * x + self.gradient_y * y);
        let v = v.clamp(0.0, 1.0);
        255.0 * (v + self.bend * v * (1.0 - v))
    }

    /// The sum of four uniform bytes is nearly normal, with a standard deviation of 147.8.
    fn noise(&self, rng: &mut impl Rng) -> f64 {
        let sum: u32 = rng.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
        (f64::from(sum) - 510.0) / 147.8 * self.noise_levels
    }
}
