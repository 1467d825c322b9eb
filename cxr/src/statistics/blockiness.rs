//! The 8 x 8 grid that JPEG leaves, in the decoded image at its own size.

use crate::image::{DecodedImage, Samples};

/// Side of a JPEG block.
const BLOCK: usize = 8;
/// Rows and pairs of rows that are compared in a large image, so that the time does not grow with it.
const MOST_ROWS: usize = 256;

/// How much larger differences are across the borders of blocks than inside them: `(b - i) / (b + i)` of the
/// mean absolute differences of neighbours, 0 without a grid. The grid may begin anywhere, because turned and
/// cropped images keep it: the strongest of its eight positions counts in either direction.
pub(crate) fn blockiness(image: &DecodedImage) -> f64 {
    let (width, height) = (image.width() as usize, image.height() as usize);
    match &image.samples {
        Samples::Narrow(samples) => of_samples(samples, width, height),
        Samples::Wide(samples) => of_samples(samples, width, height),
    }
}

fn of_samples<T: Copy + Into<i32>>(samples: &[T], width: usize, height: usize) -> f64 {
    let row = |y: usize| &samples[y * width..(y + 1) * width];
    let step = height.div_ceil(MOST_ROWS);
    let mut across = [(0u64, 0u64); BLOCK];
    for y in (0..height).step_by(step) {
        for (x, pair) in row(y).windows(2).enumerate() {
            let (sum, n) = &mut across[x % BLOCK];
            *sum += u64::from(pair[0].into().abs_diff(pair[1].into()));
            *n += 1;
        }
    }
    let mut down = [(0u64, 0u64); BLOCK];
    // A step that shares no factor with the block meets each of its rows equally often.
    let step = if step.is_multiple_of(2) { step + 1 } else { step };
    for y in (0..height - 1).step_by(step) {
        let (sum, n) = &mut down[y % BLOCK];
        *sum += row(y)
            .iter()
            .zip(row(y + 1))
            .map(|(a, b)| u64::from((*a).into().abs_diff((*b).into())))
            .sum::<u64>();
        *n += width as u64;
    }
    f64::midpoint(contrast(&across), contrast(&down))
}

fn contrast(differences: &[(u64, u64); BLOCK]) -> f64 {
    let mean = |(sum, n): (u64, u64)| sum as f64 / n.max(1) as f64;
    let (total, n) = differences.iter().fold((0, 0), |(total, all), (sum, n)| (total + sum, all + n));
    let of_position = |&(sum, count): &(u64, u64)| {
        let (border, inside) = (mean((sum, count)), mean((total - sum, n - count)));
        if border + inside > 0.0 { (border - inside) / (border + inside) } else { 0.0 }
    };
    differences.iter().map(of_position).fold(0.0, f64::max)
}
