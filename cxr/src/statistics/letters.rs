//! Marks that stand out from their surroundings, such as burned-in letters.

/// Half the side of the box around a pixel that it is compared with, as a share of the image's shorter side.
const SURROUNDINGS: f64 = 0.06;
/// Least difference between a mark and the mean around it, in grey levels.
pub(crate) const MARK_CONTRAST: f64 = 60.0;
/// Least grey level of a mark.
pub(crate) const MARK_LEVEL: u8 = 150;

/// Mean grey levels of the box around each pixel.
pub(crate) struct Surroundings {
    /// Summed-area table, with one row and one column more than the image.
    sums: Vec<u32>,
    width: usize,
    height: usize,
    radius: usize,
}

impl Surroundings {
    pub(crate) fn of(pixels: &[u8], width: usize) -> Self {
        let height = pixels.len() / width.max(1);
        let radius = ((width.min(height) as f64 * SURROUNDINGS).round() as usize).max(2);
        let mut sums = vec![0; (width + 1) * (height + 1)];
        for (y, row) in pixels.chunks_exact(width.max(1)).enumerate() {
            let (above, below) = sums.split_at_mut((y + 1) * (width + 1));
            let above = &above[y * (width + 1)..];
            let mut so_far = 0;
            for ((sum, above), level) in below[1..].iter_mut().zip(&above[1..]).zip(row) {
                so_far += u32::from(*level);
                *sum = above + so_far;
            }
        }
        Self { sums, width, height, radius }
    }

    /// Mean of the box around a pixel, cut off at the edges.
    pub(crate) fn mean(&self, x: usize, y: usize) -> f64 {
        let (left, right) = (x.saturating_sub(self.radius), (x + self.radius + 1).min(self.width));
        let (top, bottom) = (y.saturating_sub(self.radius), (y + self.radius + 1).min(self.height));
        let at = |x: usize, y: usize| self.sums[y * (self.width + 1) + x];
        let sum = at(right, bottom) + at(left, top) - at(right, top) - at(left, bottom);
        f64::from(sum) / ((right - left) * (bottom - top)) as f64
    }
}

/// Whether a position, in shares of the sides, is in the outer part of the image, where letters are.
pub(crate) fn is_outer(x: f64, y: f64) -> bool {
    !(0.25..=0.75).contains(&x) || !(0.2..=0.85).contains(&y)
}

/// Mean amount, over the outer part and in white, by which pixels exceed a mark's contrast.
pub(crate) fn strength(pixels: &[u8], width: usize) -> f64 {
    let surroundings = Surroundings::of(pixels, width);
    let height = surroundings.height;
    let (mut sum, mut n) = (0.0, 0u64);
    for (y, row) in pixels.chunks_exact(width.max(1)).enumerate() {
        for (x, level) in row.iter().enumerate() {
            if !is_outer((x as f64 + 0.5) / width as f64, (y as f64 + 0.5) / height as f64) {
                continue;
            }
            n += 1;
            sum += (f64::from(*level) - surroundings.mean(x, y) - MARK_CONTRAST).max(0.0);
        }
    }
    sum / n.max(1) as f64 / 255.0
}
