//! Burned-in marks: bright, sharply bounded, in the outer part of the image.

/// Least grey level of a mark.
const LEVEL: u8 = 150;
/// A step to a neighbour counts as far as it exceeds this many grey levels. Anatomy is smoother.
const STEP: u8 = 30;

/// Mean excess of the steps between neighbours over [`STEP`], where one of them has a mark's level, in the
/// outer part of the image and in white.
pub(super) fn strength(pixels: &[u8], width: usize) -> f64 {
    let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
    let within =
        |at: usize, of: usize, low: f64, high: f64| (low..=high).contains(&((at as f64 + 0.5) / of as f64));
    let sides: Vec<u8> = (0..width).map(|x| mask(!within(x, width, 0.25, 0.75))).collect();
    let everywhere = vec![mask(true); width];
    let (mut sum, mut n) = (0, 0);
    for (y, row) in rows.iter().enumerate() {
        let outer = if within(y, rows.len(), 0.2, 0.85) { &sides } else { &everywhere };
        let n_outer = outer.iter().filter(|outer| **outer > 0).count();
        sum += excess(row, &row[1..], &outer[1..]);
        n += n_outer - usize::from(outer[0] > 0);
        if y > 0 {
            sum += excess(rows[y - 1], row, outer);
            n += n_outer;
        }
    }
    f64::from(sum) / n.max(1) as f64 / 255.0
}

const fn mask(holds: bool) -> u8 {
    if holds { u8::MAX } else { 0 }
}

fn excess(before: &[u8], after: &[u8], outer: &[u8]) -> u32 {
    let steps = before
        .iter()
        .zip(after)
        .zip(outer)
        .map(|((a, b), outer)| a.abs_diff(*b).saturating_sub(STEP) & mask(*a.max(b) >= LEVEL) & outer);
    // Without the check for overflow, which would keep the compiler from vectorising.
    steps.fold(0, |sum, step| u32::wrapping_add(sum, u32::from(step)))
}
