//! Generated chest-like radiographs, for tests and for the demo where no real image is at hand. They look the part
//! and carry a known finding; nothing measured on them says anything about patients.
//!
//! Everything follows from the seed, byte for byte on every platform: the arithmetic is `+ - * /`, square root and
//! rounding in `f64`, which IEEE 754 defines exactly. There is no `exp`, `sin` or `powf`, which each platform's
//! mathematics library rounds in its own way, and no fused multiply-add.

mod anatomy;
mod opacity;

use anatomy::{Chest, Point, smooth_step};
use opacity::Opacity;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhantomSpec {
    /// Decides the patient, the position, the exposure, the noise and the opacities.
    pub seed: u64,
    /// Width in pixels; below 64 little of the anatomy is left.
    pub width: u32,
    /// Height in pixels; likewise.
    pub height: u32,
    /// With one to three consolidations in the lungs. All else is the same as without: two images of one seed differ
    /// in the finding alone, so take different seeds where they should be different patients.
    pub opacity: bool,
}

/// Draws the radiograph: 8-bit grey, row-major, dense tissue bright.
pub fn generate(spec: &PhantomSpec) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let chest = Chest::draw(&mut rng);
    let pose = Pose::draw(&mut rng);
    let exposure = Exposure::draw(&mut rng);
    // A stream of their own, so that they leave every other draw as it is.
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
            // Half a level more and then cut: rounds to the nearest.
            pixels.push((level + exposure.noise(&mut rng) + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}

/// Encodes 8-bit grey pixels as PNG.
///
/// # Panics
/// When `pixels` does not hold `width * height` pixels, or a side is 0: a mistake of the caller's.
pub fn encode_png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    written.expect("a Vec takes every byte, so only the sizes can be wrong");
    bytes
}

/// How the patient stands before the detector: image coordinates (the shorter side runs from -1 to 1) to those of the
/// body.
struct Pose {
    shift_x: f64,
    shift_y: f64,
    scale: f64,
    cosine: f64,
    sine: f64,
}

impl Pose {
    fn draw(rng: &mut impl Rng) -> Self {
        // The tangent of half the angle gives sine and cosine by division alone; 0.045 is 5 degrees.
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

/// How density becomes grey.
struct Exposure {
    offset: f64,
    gain: f64,
    /// Bends the tone curve: above 0 lifts the middle tones.
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
        // Around the body nothing stops the beam: no gradient shows there.
        let in_body = smooth_step(0.05, 0.25, density);
        let v = self.offset + self.gain * density + in_body * (self.gradient_x * x + self.gradient_y * y);
        let v = v.clamp(0.0, 1.0);
        255.0 * (v + self.bend * v * (1.0 - v))
    }

    /// The sum of four uniform bytes is close to normal; its standard deviation is 147.8.
    fn noise(&self, rng: &mut impl Rng) -> f64 {
        let sum: u32 = rng.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
        (f64::from(sum) - 510.0) / 147.8 * self.noise_levels
    }
}
