//! Uniform margins.

/// Largest distance of a border's pixels from black or white, in grey levels. JPEG ringing stays below it.
const TOLERANCE: u8 = 12;
/// Share of a row's or column's pixels that must have the border's level.
const SHARE: f64 = 0.98;

/// Widest black margin, as a share of the side perpendicular to it.
pub(crate) fn black(pixels: &[u8], width: usize) -> f64 {
    widest(pixels, width, |level| level <= TOLERANCE)
}

/// Widest white margin, likewise.
pub(crate) fn white(pixels: &[u8], width: usize) -> f64 {
    widest(pixels, width, |level| level >= 255 - TOLERANCE)
}

fn widest(pixels: &[u8], width: usize, of_border: impl Fn(u8) -> bool) -> f64 {
    let rows: Vec<&[u8]> = pixels.chunks_exact(width.max(1)).collect();
    let height = rows.len();
    let full = |n: usize, whole: usize| n as f64 >= SHARE * whole as f64;
    let row = |y: &usize| full(rows[*y].iter().filter(|level| of_border(**level)).count(), width);
    let column = |x: &usize| full(rows.iter().filter(|row| of_border(row[*x])).count(), height);
    let (top, bottom) = ((0..height).take_while(row).count(), (0..height).rev().take_while(row).count());
    let (left, right) = ((0..width).take_while(column).count(), (0..width).rev().take_while(column).count());
    let share = |n: usize, whole: usize| n as f64 / whole.max(1) as f64;
    share(top.max(bottom), height).max(share(left.max(right), width))
}
