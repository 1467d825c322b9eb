//! The healthy chest: density at a point of the body.
//!
//! Body coordinates: x from -1 at the image's left (the patient's right) to 1, y from -1 at the neck to 1
//! below the diaphragm. Density: 0 is air around the patient, 1 the brightest level of a film.

use super::opacity::Texture;
use rand::{Rng, RngExt};

/// Density beside the body, from scatter.
const BACKGROUND: f64 = 0.02;

/// A point in body coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Anatomy that varies between patients.
pub(super) struct Chest {
    lung_half_width: f64,
    lung_apex: f64,
    /// Height of the diaphragm's dome on the image's left and right.
    dome: [f64; 2],
    heart: Point,
    heart_width: f64,
    heart_height: f64,
    rib_spacing: f64,
    rib_contrast: f64,
    clavicle_y: f64,
    marking_contrast: f64,
    markings: Texture,
}

impl Chest {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let dome: f64 = rng.random_range(0.36..0.48);
        Self {
            lung_half_width: rng.random_range(0.66..0.74),
            lung_apex: rng.random_range(-0.76..-0.68),
            dome: [dome, dome + rng.random_range(0.03..0.07)],
            heart: Point { x: rng.random_range(0.09..0.15), y: dome - rng.random_range(0.12..0.18) },
            heart_width: rng.random_range(0.26..0.33),
            heart_height: rng.random_range(0.28..0.33),
            rib_spacing: rng.random_range(0.128..0.142),
            rib_contrast: rng.random_range(0.05..0.085),
            clavicle_y: rng.random_range(-0.62..-0.55),
            marking_contrast: rng.random_range(0.2..0.5),
            markings: Texture::draw(rng),
        }
    }

    /// Density with a share `consolidated` (0 to 1) of the lung's air replaced by fluid.
    pub(super) fn density(&self, at: Point, consolidated: f64) -> f64 {
        let lateral = at.x.abs();
        let shoulders = 0.70 * smooth_step(-1.08, -0.60, at.y);
        let waist = 0.08 * smooth_step(-0.45, 0.5, at.y);
        let half_width = 0.24 + shoulders - waist + 0.04 * at.y;
        let inside = smooth_step(0.0, 0.05, half_width - lateral);
        if inside <= 0.0 {
            return BACKGROUND;
        }
        let relative = lateral / half_width;
        let thickness = (1.0 - relative * relative).max(0.0).sqrt();
        let heart = self.heart_depth(at);
        let aerated = self.lung(at) * (1.0 - smooth_step(0.0, 0.25, heart));
        let air = if aerated > 0.0 { aerated * (1.0 - self.marking(at)) * (1.0 - consolidated) } else { 0.0 };
        let abdomen = self.abdomen(at);
        let soft_tissue = 0.36 + 0.22 * thickness + 0.13 * heart.max(0.0) + 0.10 * abdomen;
        let ribs = self.ribs(at) * (1.0 - 0.7 * abdomen) * (1.0 - 0.3 * consolidated * aerated);
        let bone = ribs + self.clavicle(at) + spine(at) + shoulder(at);
        let gas = 0.40 * air + trachea(at) + self.stomach_bubble(at);
        BACKGROUND + inside * (soft_tissue + bone - gas)
    }

    /// 1 in lung that the heart does not hide, 0 outside, smooth between.
    pub(super) fn visible_lung(&self, at: Point) -> f64 {
        self.lung(at) * (1.0 - smooth_step(0.0, 0.25, self.heart_depth(at)))
    }

    fn lung(&self, at: Point) -> f64 {
        let lateral = at.x.abs();
        // The chest wall is half an ellipse from the apex down; the mediastinum bounds the lung medially.
        let from_centre = (at.y - 0.30) / (0.30 - self.lung_apex);
        let wall = self.lung_half_width * (1.0 - from_centre * from_centre).max(0.0).sqrt() - lateral;
        let hilum = at.y + 0.02;
        let mediastinum = lateral - 0.13 - 0.03 / (1.0 + 30.0 * hilum * hilum);
        let diaphragm = self.diaphragm(at) - at.y;
        smooth_step(0.0, 0.045, wall.min(mediastinum)) * smooth_step(0.0, 0.03, diaphragm)
    }

    /// Height of the diaphragm at this side and distance from the midline: a dome that falls towards the
    /// chest wall.
    fn diaphragm(&self, at: Point) -> f64 {
        let across = (at.x.abs() - 0.30) / 0.40;
        let fall = if across > 0.0 { 0.24 } else { 0.10 };
        let [left, right] = self.dome;
        left + (right - left) * smooth_step(-0.1, 0.1, at.x) + fall * across * across
    }

    fn abdomen(&self, at: Point) -> f64 {
        smooth_step(0.0, 0.12, at.y - self.diaphragm(at))
    }

    /// Depth in the heart or the aortic arch: 1 in the middle of the heart, 0 on its outline, negative
    /// outside.
    fn heart_depth(&self, at: Point) -> f64 {
        // Sheared, so that the heart's apex points down to the patient's left.
        let sheared = Point { x: at.x, y: at.y - 0.35 * (at.x - self.heart.x) };
        let heart = ellipse(sheared, self.heart, self.heart_width, self.heart_height);
        let arch = 0.3 * ellipse(at, Point { x: 0.09, y: -0.26 }, 0.115, 0.13);
        heart.max(arch)
    }

    /// Vessels: coarse texture, dense at the hila, fading towards the chest wall.
    fn marking(&self, at: Point) -> f64 {
        let lateral = at.x.abs();
        let hilum = ellipse(at, Point { x: if at.x > 0.0 { 0.22 } else { -0.22 }, y: 0.0 }, 0.17, 0.26);
        let fading = 1.0 - smooth_step(0.15, 0.62, lateral);
        let grain = self.markings.at(at.x * 14.0, at.y * 14.0);
        self.marking_contrast * (0.15 + 0.85 * fading) * grain * grain + 0.35 * hilum.max(0.0) * grain
    }

    fn ribs(&self, at: Point) -> f64 {
        let lateral = at.x.abs();
        let from_centre = (at.y - 0.30) / (0.34 - self.lung_apex);
        let cage = (self.lung_half_width + 0.03) * (1.0 - from_centre * from_centre).max(0.0).sqrt();
        let caged = smooth_step(0.0, 0.03, cage - lateral) * smooth_step(0.05, 0.22, lateral);
        if caged <= 0.0 {
            return 0.0;
        }
        let out = lateral / self.lung_half_width;
        // Posterior ribs leave the spine, rise slightly and fall towards the wall. Anterior ribs run back
        // inwards and down, wider apart and fainter, and end before the sternum.
        let behind = self.rib_profile(at.y + 0.16 * out - 0.42 * out * out, 1.0);
        let front_end = smooth_step(0.26, 0.42, lateral);
        let front = self.rib_profile(at.y - 0.05 + 0.55 * out, 1.2) * front_end;
        self.rib_contrast * caged * (behind + 0.55 * front)
    }

    /// Cross-section of ten parallel ribs, bright at the edges, where the beam passes along the cortex.
    fn rib_profile(&self, y: f64, spacing: f64) -> f64 {
        let number = (y - self.lung_apex) / (self.rib_spacing * spacing);
        if !(-0.5..9.5).contains(&number) {
            return 0.0;
        }
        let off_centre = off_nearest(number) / 0.24;
        (0.55 + 0.45 * off_centre * off_centre) * (1.0 - smooth_step(0.85, 1.1, off_centre))
    }

    fn clavicle(&self, at: Point) -> f64 {
        let lateral = at.x.abs();
        let along = (lateral - 0.08) / 0.58;
        if !(0.0..1.0).contains(&along) {
            return 0.0;
        }
        // A flat S: down towards the sternum, up to the shoulder.
        let course = self.clavicle_y + 0.10 - 0.30 * along + 0.16 * along * along;
        let off_centre = ((at.y - course) / (0.032 - 0.010 * along)).abs();
        let ends = smooth_step(0.0, 0.06, along) * (1.0 - smooth_step(0.94, 1.0, along));
        0.13 * ends * (1.0 - smooth_step(0.75, 1.1, off_centre))
    }

    fn stomach_bubble(&self, at: Point) -> f64 {
        let bubble = ellipse(at, Point { x: 0.36, y: self.dome[1] + 0.13 }, 0.13, 0.07);
        0.14 * smooth_step(0.0, 0.5, bubble)
    }
}

/// Sternum and vertebrae, whose discs show as fainter gaps.
fn spine(at: Point) -> f64 {
    let column = 1.0 - smooth_step(0.055, 0.10, at.x.abs());
    if column <= 0.0 {
        return 0.0;
    }
    column * (0.05 + 0.04 * smooth_step(0.03, 0.14, off_nearest(at.y / 0.115)))
}

/// Air in the trachea, down to the bifurcation.
fn trachea(at: Point) -> f64 {
    let bore = 1.0 - smooth_step(0.028, 0.06, at.x.abs());
    if bore <= 0.0 {
        return 0.0;
    }
    0.13 * bore * (1.0 - smooth_step(-0.24, -0.12, at.y))
}

/// Head of the humerus and lateral edge of the scapula.
fn shoulder(at: Point) -> f64 {
    if at.x.abs() < 0.6 || at.y > 0.1 {
        return 0.0;
    }
    let side = if at.x > 0.0 { 1.0 } else { -1.0 };
    let humerus = ellipse(at, Point { x: 0.84 * side, y: -0.58 }, 0.12, 0.13);
    let blade_course = 0.70 - 0.10 * (at.y + 0.4) + 0.25 * (at.y + 0.1) * (at.y + 0.1);
    let off_edge = ((at.x.abs() - blade_course) / 0.03).abs();
    let blade = (1.0 - smooth_step(0.3, 1.0, off_edge))
        * smooth_step(-0.55, -0.45, at.y)
        * (1.0 - smooth_step(-0.05, 0.10, at.y));
    0.10 * smooth_step(0.0, 0.6, humerus) + 0.05 * blade
}

/// 1 in the centre of an ellipse, 0 on its outline, negative outside.
fn ellipse(at: Point, centre: Point, half_width: f64, half_height: f64) -> f64 {
    let (x, y) = ((at.x - centre.x) / half_width, (at.y - centre.y) / half_height);
    1.0 - x * x - y * y
}

/// Distance to the nearest whole number.
fn off_nearest(x: f64) -> f64 {
    (x - floor(x + 0.5)).abs()
}

/// `f64::floor`, which without SSE 4.1 is a library call for every pixel.
pub(super) fn floor(x: f64) -> f64 {
    let truncated = x as i64 as f64;
    if truncated > x { truncated - 1.0 } else { truncated }
}

/// 0 below `low`, 1 above `high`, a cubic with zero slope at both ends between.
pub(super) fn smooth_step(low: f64, high: f64, x: f64) -> f64 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
