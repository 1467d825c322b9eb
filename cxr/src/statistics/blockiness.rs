//! The 8 x 8 grid that JPEG leaves, in the decoded image at its own size.

use crate::image::{DecodedImage, Samples};

/// Side of a JPEG block.
const BLOCK: usize = 8;
/// Pixels of a large image that are compared with a neighbour, so that the time does not grow with the image:
/// those of evenly spread rows.
const MOST_PIXELS: usize = 1 << 17;

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

/// Sum and number of absolute differences at each position of the grid.
type Differences = [(u64, u64); BLOCK];

fn of_samples<T: Copy + Into<i32>>(samples: &[T], width: usize, height: usize) -> f64 {
    let row = |y: usize| &samples[y * width..(y + 1) * width];
    let step = (width * height).div_ceil(MOST_PIXELS);
    let mut across = Differences::default();
    for y in (0..height).step_by(step) {
        add_row(&mut across, row(y));
    }
    let mut down = Differences::default();
    // A step that shares no factor with the block meets each of its rows equally often.
    let step = if step.is_multiple_of(2) { step + 1 } else { step };
    for y in (0..height - 1).step_by(step) {
        let pairs = row(y).iter().zip(row(y + 1));
        let (sum, n) = &mut down[y % BLOCK];
        let of_row = pairs.map(|(a, b)| difference(*a, *b)).fold(0, u32::wrapping_add);
        *sum += u64::from(of_row);
        *n += width as u64;
    }
    f64::midpoint(contrast(&across), contrast(&down))
}

/// An incomplete block at the end of the row does not count.
fn add_row<T: Copy + Into<i32>>(differences: &mut Differences, row: &[T]) {
    let (before, after) = (row[..row.len() - 1].as_chunks::<BLOCK>().0, row[1..].as_chunks::<BLOCK>().0);
    let mut sums = [0; BLOCK];
    for (before, after) in before.iter().zip(after) {
        for ((sum, a), b) in sums.iter_mut().zip(before).zip(after) {
            *sum = u32::wrapping_add(*sum, difference(*a, *b));
        }
    }
    for ((sum, n), of_row) in differences.iter_mut().zip(sums) {
        *sum += u64::from(of_row);
        *n += before.len() as u64;
    }
}

/// Summed over a row in 32 bits, without the checks for overflow that would keep the compiler from
/// vectorising: they are enough for 65537 columns of 16 bits.
fn difference<T: Into<i32>>(a: T, b: T) -> u32 {
    a.into().abs_diff(b.into())
}

fn contrast(differences: &Differences) -> f64 {
    let mean = |sum: u64, n: u64| sum as f64 / n.max(1) as f64;
    let (total, n_all) = differences.iter().fold((0, 0), |(total, n_all), (sum, n)| (total + sum, n_all + n));
    let at_position = |&(sum, n): &(u64, u64)| {
        let (border, inside) = (mean(sum, n), mean(total - sum, n_all - n));
        if border + inside > 0.0 { (border - inside) / (border + inside) } else { 0.0 }
    };
    differences.iter().map(at_position).fold(0.0, f64::max)
}
