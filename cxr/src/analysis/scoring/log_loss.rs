//! Log loss of probabilities, clipped at 1e-7.

use super::judgeable;

/// Least distance of a probability from 0 and 1, so that one confident error does not make the mean infinite.
const CLIP: f64 = 1e-7;

/// Mean negative log likelihood (natural logarithm) of the labels, with probabilities clipped to `[CLIP, 1 -
/// CLIP]`. NaN without images and for invalid input (see [`super`]).
pub fn log_loss(probabilities: &[f64], positive: &[bool]) -> f64 {
    if !judgeable(probabilities, positive) {
        return f64::NAN;
    }
    let likelihood = |(p, y): (&f64, &bool)| {
        let p = p.clamp(CLIP, 1.0 - CLIP);
        if *y { p.ln() } else { (-p).ln_1p() }
    };
    -probabilities.iter().zip(positive).map(likelihood).sum::<f64>() / probabilities.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_half_costs_the_logarithm_of_two() {
        assert!((log_loss(&[0.5, 0.5], &[true, false]) - std::f64::consts::LN_2).abs() < 1e-15);
        assert!((log_loss(&[0.9], &[true]) + 0.9f64.ln()).abs() < 1e-15);
        assert!(log_loss(&[0.0], &[true]).is_finite() && log_loss(&[], &[]).is_nan());
    }
}
