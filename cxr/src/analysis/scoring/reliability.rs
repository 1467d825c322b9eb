//! Calibration of probabilities: reliability bins, expected calibration error, Brier score and log loss.

use crate::reference::CalibrationBin;

/// `n_bins` bins of equal width. Bin `i` holds the probabilities in `(i / n_bins, (i + 1) / n_bins]`; 0 is in
/// the first. Empty bins are included. No bins for invalid input (see [`super`]).
pub fn bins_equal_width(probabilities: &[f64], positive: &[bool], n_bins: usize) -> Vec<CalibrationBin> {
    if !judgeable(probabilities, positive) || n_bins == 0 {
        return Vec::new();
    }
    let edge = |i: usize| i as f64 / n_bins as f64;
    let upper_edges: Vec<f64> = (1..=n_bins).map(edge).collect();
    let mut members = vec![Vec::new(); n_bins];
    for (p, y) in probabilities.iter().zip(positive) {
        // Compared with the returned edges: `ceil(p * n_bins)` would round some to the wrong side.
        members[upper_edges.partition_point(|upper| upper < p)].push((*p, *y));
    }
    members.iter().enumerate().map(|(i, members)| bin(edge(i), edge(i + 1), members)).collect()
}

/// Expected calibration error: the mean over images of |positive rate - mean probability| of the image's bin
/// (Naeini, Cooper and Hauskrecht 2015, for the probability of the positive class; Guo et al. 2017 use the
/// predicted class). NaN without images.
pub fn ece(bins: &[CalibrationBin]) -> f64 {
    let n: usize = bins.iter().map(|bin| bin.n).sum();
    let gaps = bins.iter().map(|bin| bin.n as f64 * (bin.positive_rate - bin.mean_probability).abs());
    gaps.sum::<f64>() / n as f64
}

/// Brier score: mean squared difference of the probability and the label as 0 or 1 (Brier 1950, in its
/// one-class form; a constant one half scores 0.25). NaN without images and for invalid input (see
/// [`super`]).
pub fn brier(probabilities: &[f64], positive: &[bool]) -> f64 {
    if !judgeable(probabilities, positive) {
        return f64::NAN;
    }
    let squares = probabilities.iter().zip(positive).map(|(p, y)| (p - f64::from(u8::from(*y))).powi(2));
    squares.sum::<f64>() / probabilities.len() as f64
}

/// Mean negative log likelihood of the labels in nats. Probabilities are clipped at `1e-15`, so that one
/// confident error costs 34.5 and not infinity. NaN without images and for invalid input (see [`super`]).
pub fn log_loss(probabilities: &[f64], positive: &[bool]) -> f64 {
    if !judgeable(probabilities, positive) {
        return f64::NAN;
    }
    let losses = probabilities.iter().zip(positive).map(|(p, y)| log_loss_of(*p, *y));
    losses.sum::<f64>() / probabilities.len() as f64
}

/// Negative log likelihood of one label; see [`log_loss`].
pub fn log_loss_of(probability: f64, positive: bool) -> f64 {
    const LEAST: f64 = 1e-15;
    let of_label = if positive { probability } else { 1.0 - probability };
    -of_label.clamp(LEAST, 1.0).ln()
}

fn judgeable(probabilities: &[f64], positive: &[bool]) -> bool {
    super::judgeable(probabilities, positive) && probabilities.iter().all(|p| (0.0..=1.0).contains(p))
}

fn bin(low: f64, high: f64, members: &[(f64, bool)]) -> CalibrationBin {
    let n = members.len();
    let mean = |sum: f64| if n == 0 { 0.0 } else { sum / n as f64 };
    let positives = members.iter().filter(|(_, y)| *y).count();
    let mean_probability = mean(members.iter().map(|(p, _)| p).sum());
    CalibrationBin { low, high, n, mean_probability, positive_rate: mean(positives as f64) }
}
