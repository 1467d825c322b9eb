//! A proportion with a confidence interval, also for counts too small or too extreme to resample.

use serde::{Deserialize, Serialize};

/// `k` of `n` items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proportion {
    /// Items with the property.
    pub k: usize,
    /// All items.
    pub n: usize,
    /// `k / n`; 0 if `n` is 0.
    pub value: f64,
    /// 95 % score interval (Wilson 1927), which has a width at proportions of 0 and 1 too. 0 to 1 if `n` is
    /// 0.
    pub ci95: [f64; 2],
}

impl Proportion {
    /// From counts, `k <= n`.
    pub fn new(k: usize, n: usize) -> Self {
        const Z: f64 = 1.959_963_984_540_054;
        if n == 0 {
            return Self { k, n, value: 0.0, ci95: [0.0, 1.0] };
        }
        let (share, n_images) = (k as f64 / n as f64, n as f64);
        let scale = 1.0 + Z * Z / n_images;
        let centre = (share + Z * Z / (2.0 * n_images)) / scale;
        let half = Z / scale * (share * (1.0 - share) / n_images + (Z / (2.0 * n_images)).powi(2)).sqrt();
        Self { k, n, value: share, ci95: [(centre - half).max(0.0), (centre + half).min(1.0)] }
    }

    /// Counts the items that are true.
    pub fn of(items: impl IntoIterator<Item = bool>) -> Self {
        let (mut k, mut n) = (0, 0);
        for item in items {
            n += 1;
            k += usize::from(item);
        }
        Self::new(k, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20 and 1 of 29.
        for (k, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let [found_low, found_high] = Proportion::new(k, n).ci95;
            assert!(
                (found_low - low).abs() < 6e-5 && (found_high - high).abs() < 6e-5,
                "{k} of {n}: {found_low} {found_high}"
            );
        }
        assert_eq!(Proportion::of([true, false, true, true]).k, 3);
        assert!(Proportion::new(0, 0).ci95[1] > 0.999, "nothing counted, nothing known");
    }
}
