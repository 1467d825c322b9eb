//! Prior shift: estimates a site's share of pneumonia without labels and corrects probabilities for it.

/// Estimates a site's share of positives from calibrated probabilities of unlabelled images by expectation
/// maximisation (Saerens, Latinne and Decaestecker 2002). `trained` is the share for which the probabilities
/// are calibrated. Assumes that each class looks as it did in training; otherwise the estimate absorbs the
/// difference.
///
/// `None` for no images, or if `trained` is not strictly between 0 and 1.
pub fn estimate_prior(probabilities: &[f64], trained: f64) -> Option<f64> {
    if probabilities.is_empty() || !(trained > 0.0 && trained < 1.0) {
        return None;
    }
    let mut prior = trained;
    for _ in 0..1000 {
        let next = probabilities.iter().map(|p| correct(*p, trained, prior)).sum::<f64>()
            / probabilities.len() as f64;
        let next = next.clamp(1e-6, 1.0 - 1e-6);
        let change = (next - prior).abs();
        prior = next;
        if change < 1e-9 {
            break;
        }
    }
    Some(prior)
}

/// The probability at a share of positives of `site` instead of `trained` (Bayes' rule).
pub fn correct(probability: f64, trained: f64, site: f64) -> f64 {
    let positive = probability * site / trained;
    let negative = (1.0 - probability) * (1.0 - site) / (1.0 - trained);
    positive / (positive + negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn the_prior_of_a_site_is_found_without_its_labels() {
        // The classes are normal with means -1 and 1, so the log odds at equal shares are twice the value.
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        for site in [0.1, 0.3, 0.8] {
            let n = 20_000;
            let probabilities: Vec<f64> = (0..n)
                .map(|i| {
                    let mean = if (i as f64) < site * f64::from(n) { 1.0 } else { -1.0 };
                    1.0 / (1.0 + (-2.0 * (mean + normal())).exp())
                })
                .collect();
            let found = estimate_prior(&probabilities, 0.5).unwrap();
            assert!((found - site).abs() < 0.02, "{site}: {found}");
        }
        assert!(estimate_prior(&[], 0.5).is_none() && estimate_prior(&[0.5], 1.0).is_none());
    }

    #[test]
    fn correcting_to_the_same_prior_changes_nothing() {
        for p in [0.0, 0.2, 0.9, 1.0] {
            assert!((correct(p, 0.7, 0.7) - p).abs() < 1e-12);
        }
        assert!((correct(0.5, 0.5, 0.8) - 0.8).abs() < 1e-12);
    }
}
