//! The finding: soft, cloud-like consolidations in the lungs, and the smooth random texture that they share
//! with the vessels.

use super::anatomy::{Chest, Point, floor, smooth_step};
use rand::{Rng, RngExt};

/// Smooth random values from 0 to 1 on a periodic lattice.
pub(super) struct Texture(Vec<f64>);
pub(super) struct Opacity {
    centre: Point,
    half_width: f64,
    half_height: f64,
    /// Share of the air that is replaced at the densest point.
    strength: f64,
    cloud: Texture,
}

impl Opacity {
    /// One to three consolidations, centred where the lung is visible.
    pub(super) fn draw_some(chest: &Chest, rng: &mut impl Rng) -> Vec<Self> {
        let n = rng.random_range(1..=3_u32);
        (0..n).map(|_| Self::draw(chest, rng)).collect()
    }

    fn draw(chest: &Chest, rng: &mut impl Rng) -> Self {
        let mut centre = Point { x: 0.0, y: 0.0 };
        // Most of the box is lung in every `Chest::draw`, so this ends after a few draws.
        while chest.visible_lung(centre) < 0.99 {
            let side = if rng.random() { 1.0 } else { -1.0 };
            centre = Point { x: side * rng.random_range(0.22..0.55), y: rng.random_range(-0.40..0.36) };
        }
        Self {
            centre,
            half_width: rng.random_range(0.13..0.26),
            half_height: rng.random_range(0.13..0.28),
            strength: rng.random_range(0.35..0.75),
            cloud: Texture::draw(rng),
        }
    }

    /// Share of the air that is replaced at a point.
    pub(super) fn fill(&self, at: Point) -> f64 {
        let x = (at.x - self.centre.x) / self.half_width;
        let y = (at.y - self.centre.y) / self.half_height;
        let distance_squared = x * x + y * y;
        if distance_squared >= 1.6 {
            return 0.0;
        }
        let coarse = self.cloud.at(at.x * 9.0, at.y * 9.0);
        let fine = self.cloud.at(at.x * 23.0 + 5.0, at.y * 23.0 + 5.0);
        // The cloud modulates the edge and mottles the inside.
        let depth = 1.0 - distance_squared + 0.9 * (coarse - 0.5);
        let shape = smooth_step(0.0, 0.9, depth) * smooth_step(0.0, 0.4, 1.6 - distance_squared);
        self.strength * shape * (0.7 + 0.3 * fine)
    }
}

impl Texture {
    /// Must be a power of two.
    const SIDE: usize = 32;

    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        Self((0..Self::SIDE * Self::SIDE).map(|_| rng.random()).collect())
    }

    /// Interpolated value between the four lattice points around (x, y).
    pub(super) fn at(&self, x: f64, y: f64) -> f64 {
        let (column, row) = (floor(x), floor(y));
        let lattice = |right: i64, down: i64| {
            let wrap = |i: i64| i as usize & (Self::SIDE - 1);
            self.0[wrap(row as i64 + down) * Self::SIDE + wrap(column as i64 + right)]
        };
        let (right, down) = (smooth_step(0.0, 1.0, x - column), smooth_step(0.0, 1.0, y - row));
        let above = lattice(0, 0) + right * (lattice(1, 0) - lattice(0, 0));
        let below = lattice(0, 1) + right * (lattice(1, 1) - lattice(0, 1));
        above + down * (below - above)
    }
}
