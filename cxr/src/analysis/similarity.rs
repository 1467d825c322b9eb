//! Similarity of two maps by rank and by structure.

/// Spearman's rank correlation; ties share their mean rank. `None` for different lengths, fewer than two
/// values, a value that is not finite, or a constant map.
pub fn spearman(a: &[f32], b: &[f32]) -> Option<f64> {
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    if a.len() != b.len() || a.len() < 2 || !finite(a) || !finite(b) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    #[expect(clippy::float_cmp, reason = "a tie is exact equality")]
    for tied in order.chunk_by(|i, j| values[*i] == values[*j]) {
        let rank = below as f64 + (tied.len() as f64 - 1.0) / 2.0;
        for i in tied {
            ranks[*i] = rank;
        }
        below += tied.len();
    }
    ranks
}

/// Mean structural similarity (Wang et al. 2004) of maps with values from 0 to 1 and `width` columns, over
/// all square windows of side `window` with equal weights. `None` for different lengths or a map smaller than
/// the window.
pub fn ssim(a: &[f32], b: &[f32], width: usize, window: usize) -> Option<f64> {
    /// The paper's constants for a range of 1.
    const C1: f64 = 0.01 * 0.01;
    const C2: f64 = 0.03 * 0.03;
    let height = a.len().checked_div(width)?;
    if a.len() != b.len() || window == 0 || width < window || height < window {
        return None;
    }
    let n = (window * window) as f64;
    let mut total = 0.0;
    for top in 0..=height - window {
        for left in 0..=width - window {
            let (mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for row in top..top + window {
                let span = row * width + left..row * width + left + window;
                for (x, y) in a[span.clone()].iter().zip(&b[span]) {
                    let (x, y) = (f64::from(*x), f64::from(*y));
                    (sa, sb) = (sa + x, sb + y);
                    (saa, sbb, sab) = (saa + x * x, sbb + y * y, sab + x * y);
                }
            }
            let (ma, mb) = (sa / n, sb / n);
            let (va, vb, cov) = (saa / n - ma * ma, sbb / n - mb * mb, sab / n - ma * mb);
            total += (2.0 * ma * mb + C1) * (2.0 * cov + C2) / ((ma * ma + mb * mb + C1) * (va + vb + C2));
        }
    }
    Some(total / ((height - window + 1) * (width - window + 1)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_see_order_alone_and_ties_share() {
        assert_eq!(spearman(&[1.0, 2.0, 30.0], &[0.1, 0.2, 0.3]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        // Worked by hand: ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
        let tied = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn a_map_is_like_itself_and_less_like_another() {
        let ramp: Vec<f32> = (0..64).map(|i| i as f32 / 64.0).collect();
        let reversed: Vec<f32> = ramp.iter().rev().copied().collect();
        assert!((ssim(&ramp, &ramp, 8, 4).unwrap() - 1.0).abs() < 1e-9);
        assert!(ssim(&ramp, &reversed, 8, 4).unwrap() < 0.5);
        assert_eq!(ssim(&ramp, &ramp[..8], 8, 4), None);
        assert_eq!(ssim(&ramp, &ramp, 8, 9), None);
    }
}
