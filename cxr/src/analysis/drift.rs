//! Distances between two samples of one quantity, for drift in data audits and reports.

use crate::reference::Quantiles;

/// Two-sample Kolmogorov-Smirnov statistic: the largest distance of the empirical distribution functions, 0
/// to 1. `None` if a sample is empty or contains a NaN.
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> Option<f64> {
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty() && !sorted.iter().any(|value| value.is_nan())).then_some(sorted)
    };
    let (first, second) = (sorted(first)?, sorted(second)?);
    let (mut i, mut j, mut largest) = (0, 0, 0.0f64);
    while i < first.len() && j < second.len() {
        // Equal values advance together: the functions are compared after a value, never between copies of
        // it.
        let value = first[i].min(second[j]);
        i += first[i..].iter().take_while(|v| **v <= value).count();
        j += second[j..].iter().take_while(|v| **v <= value).count();
        largest = largest.max((i as f64 / first.len() as f64 - j as f64 / second.len() as f64).abs());
    }
    Some(largest)
}

/// Population stability index of a sample over tenths of the reference: `sum((s - r) ln(s / r))` with the
/// shares `s` of the sample and `r` of the reference (Siddiqi 2006). An empty bin counts as half an image.
/// Common practice reads 0.1 as a moderate and 0.25 as a large shift. `None` if the sample is empty or the
/// reference does not have 101 quantiles.
pub fn stability_index(reference: &Quantiles, sample: &[f64]) -> Option<f64> {
    const BINS: usize = 10;
    let quantiles = &reference.0;
    if quantiles.len() != 101 || sample.is_empty() {
        return None;
    }
    // A value that fills several tenths makes one bin, with the share up to it. A remainder joins the next
    // bin.
    let mut edges: Vec<(f64, f64)> = Vec::new();
    let mut reached = 0.0;
    for bin in 1..=BINS {
        let (edge, up_to) = if bin == BINS {
            (f64::INFINITY, 1.0)
        } else {
            let edge = quantiles[bin * 100 / BINS];
            let percent = quantiles.iter().filter(|quantile| **quantile <= edge).count() - 1;
            (edge, percent as f64 / 100.0)
        };
        if up_to - reached >= 0.5 / BINS as f64 {
            edges.push((edge, up_to - reached));
            reached = up_to;
        }
    }
    if let Some((edge, share)) = edges.last_mut() {
        (*edge, *share) = (f64::INFINITY, *share + 1.0 - reached);
    }
    let n = sample.len() as f64;
    let mut below = 0;
    Some(
        edges
            .iter()
            .map(|(edge, share)| {
                let up_to = sample.iter().filter(|value| **value <= *edge).count();
                let count = (up_to - below) as f64;
                below = up_to;
                let found = count.max(0.5) / n;
                (found - share) * (found / share).ln()
            })
            .sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_the_distribution_functions() {
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(close(kolmogorov_smirnov(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), 0.0));
        assert!(close(kolmogorov_smirnov(&[1.0, 2.0], &[3.0, 4.0]), 1.0));
        // By hand: after 2 the functions are 1/2 and 1/4; after 3 they are 3/4 and 1/4.
        assert!(close(kolmogorov_smirnov(&[1.0, 2.0, 3.0, 8.0], &[2.0, 5.0, 6.0, 7.0]), 0.5));
        assert!(close(kolmogorov_smirnov(&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0]), 0.5));
        assert!(kolmogorov_smirnov(&[], &[1.0]).is_none());
        assert!(kolmogorov_smirnov(&[f64::NAN], &[1.0]).is_none());
    }

    #[test]
    fn the_index_is_zero_for_the_reference_and_grows_with_the_shift() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let reference = Quantiles::of(&values).unwrap();
        let shifted = |by: f64| {
            stability_index(&reference, &values.iter().map(|v| v + by).collect::<Vec<_>>()).unwrap()
        };
        assert!(shifted(0.0).abs() < 1e-3, "{}", shifted(0.0));
        assert!(shifted(50.0) > 0.01 && shifted(200.0) > 3.0 * shifted(50.0));
        assert!(stability_index(&reference, &[]).is_none());
    }

    #[test]
    fn values_that_repeat_make_one_bin() {
        let values = [vec![0.0; 500], (1..=500).map(f64::from).collect()].concat();
        let reference = Quantiles::of(&values).unwrap();
        assert!(stability_index(&reference, &values).unwrap().abs() < 5e-3);
        assert!(stability_index(&reference, &[0.0; 10]).unwrap() > 0.3);
    }
}
