//! Ridge logistic regression on a few features: how well the classes follow from figures that should say nothing about
//! the patient. Networks, and calibration of their logits, are elsewhere.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Newton steps; a ridge problem of a few features converges in far fewer.
const MAX_STEPS: usize = 50;

/// A fitted model on standardised features.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// Intercept first.
    coefficients: Vec<f64>,
}

impl Logistic {
    /// Fits by Newton's method (Hastie, Tibshirani and Friedman 2009, section 4.4.1) with the penalty
    /// `ridge / 2 * |coefficients|^2` on the summed negative log likelihood; the intercept is free. `None` for no rows,
    /// rows of different lengths, values that are not finite, or one class alone.
    pub fn fit(rows: &[Vec<f64>], positive: &[bool], ridge: f64) -> Option<Self> {
        let n_features = rows.first()?.len();
        let regular = rows.iter().all(|row| row.len() == n_features && row.iter().all(|v| v.is_finite()));
        let n_positive = positive.iter().filter(|label| **label).count();
        if !regular || rows.len() != positive.len() || n_positive == 0 || n_positive == rows.len() {
            return None;
        }
        let (mean, deviation) = (0..n_features).map(|j| moments(rows, j)).unzip();
        let mut model = Self { mean, deviation, coefficients: vec![0.0; n_features + 1] };
        let design: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        for _ in 0..MAX_STEPS {
            let step = model.newton_step(&design, positive, ridge)?;
            model.coefficients.iter_mut().zip(&step).for_each(|(c, s)| *c -= s);
            if step.iter().all(|s| s.abs() < 1e-10) {
                break;
            }
        }
        model.coefficients.iter().all(|c| c.is_finite()).then_some(model)
    }

    /// The log-odds of the positive class.
    pub fn log_odds(&self, row: &[f64]) -> f64 {
        dot(&self.coefficients, &self.standardised(row))
    }

    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        let values = row.iter().zip(&self.mean).zip(&self.deviation).map(|((v, m), d)| (v - m) / d);
        std::iter::once(1.0).chain(values).collect()
    }

    fn newton_step(&self, design: &[Vec<f64>], positive: &[bool], ridge: f64) -> Option<Vec<f64>> {
        let k = self.coefficients.len();
        let penalty = |j: usize| if j == 0 { 0.0 } else { ridge };
        let mut gradient: Vec<f64> = (0..k).map(|j| penalty(j) * self.coefficients[j]).collect();
        let mut hessian = vec![vec![0.0; k]; k];
        for (x, y) in design.iter().zip(positive) {
            let p = 1.0 / (1.0 + (-dot(&self.coefficients, x)).exp());
            // A separable sample drives p to 0 or 1; the Hessian must stay invertible.
            let weight = (p * (1.0 - p)).max(1e-9);
            for i in 0..k {
                gradient[i] += (p - f64::from(u8::from(*y))) * x[i];
                for j in 0..=i {
                    hessian[i][j] += weight * x[i] * x[j];
                }
            }
        }
        (0..k).for_each(|j| hessian[j][j] += penalty(j));
        solve(hessian, gradient)
    }
}

/// Out-of-fold log-odds: the groups (patients) are dealt into `n_folds` folds by class, and each fold is scored by a
/// model fitted on the others. `None` where a fit is impossible: too few groups of a class.
pub fn cross_validated(
    rows: &[Vec<f64>],
    positive: &[bool],
    groups: &[usize],
    n_folds: usize,
    ridge: f64,
    seed: u64,
) -> Option<Vec<f64>> {
    let fold_of = deal(positive, groups, n_folds, seed);
    let mut scores = vec![f64::NAN; rows.len()];
    for fold in 0..n_folds {
        let (held_out, rest): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|image| fold_of[&groups[*image]] == fold);
        if held_out.is_empty() {
            continue;
        }
        let train: Vec<Vec<f64>> = rest.iter().map(|image| rows[*image].clone()).collect();
        let labels: Vec<bool> = rest.iter().map(|image| positive[*image]).collect();
        let model = Logistic::fit(&train, &labels, ridge)?;
        for image in held_out {
            scores[image] = model.log_odds(&rows[image]);
        }
    }
    scores.iter().all(|score| score.is_finite()).then_some(scores)
}

/// A fold for every group; groups of either class are spread evenly.
fn deal(positive: &[bool], groups: &[usize], n_folds: usize, seed: u64) -> BTreeMap<usize, usize> {
    let class: BTreeMap<usize, bool> = groups.iter().copied().zip(positive.iter().copied()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut folds = BTreeMap::new();
    for label in [false, true] {
        let mut members: Vec<usize> = class.iter().filter(|(_, y)| **y == label).map(|(g, _)| *g).collect();
        members.shuffle(&mut rng);
        folds.extend(members.into_iter().enumerate().map(|(i, group)| (group, i % n_folds.max(1))));
    }
    folds
}

/// Mean and standard deviation of a feature; a constant one gets 1, so that it adds nothing.
fn moments(rows: &[Vec<f64>], feature: usize) -> (f64, f64) {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|row| row[feature]).sum::<f64>() / n;
    let variance = rows.iter().map(|row| (row[feature] - mean).powi(2)).sum::<f64>() / n;
    (mean, if variance > 1e-12 { variance.sqrt() } else { 1.0 })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves `L L' x = b` of a positive definite matrix whose lower triangle is given (Cholesky).
fn solve(mut matrix: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let k = b.len();
    for i in 0..k {
        for j in 0..=i {
            let sum = matrix[i][j] - (0..j).map(|m| matrix[i][m] * matrix[j][m]).sum::<f64>();
            if i == j {
                if !(sum > 0.0) {
                    return None;
                }
                matrix[i][i] = sum.sqrt();
            } else {
                matrix[i][j] = sum / matrix[j][j];
            }
        }
    }
    for i in 0..k {
        b[i] = (b[i] - (0..i).map(|m| matrix[i][m] * b[m]).sum::<f64>()) / matrix[i][i];
    }
    for i in (0..k).rev() {
        b[i] = (b[i] - (i + 1..k).map(|m| matrix[m][i] * b[m]).sum::<f64>()) / matrix[i][i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::roc::auc;
    use rand::RngExt;

    fn sample(n: usize, slope: f64) -> (Vec<Vec<f64>>, Vec<bool>, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let rows: Vec<Vec<f64>> =
            (0..n).map(|_| vec![rng.random_range(-2.0..2.0), rng.random_range(-2.0..2.0), 3.0]).collect();
        let odds = |row: &[f64]| slope * row[0] - 0.5;
        let positive =
            rows.iter().map(|row| rng.random::<f64>() < 1.0 / (1.0 + (-odds(row)).exp())).collect();
        (rows, positive, (0..n).map(|i| i / 2).collect())
    }

    #[test]
    fn recovers_the_odds_it_was_drawn_from() {
        let (rows, positive, _) = sample(20_000, 1.5);
        let model = Logistic::fit(&rows, &positive, 1.0).unwrap();
        for (row, expected) in [([0.0, 0.0, 3.0], -0.5), ([1.0, 0.0, 3.0], 1.0), ([1.0, 1.0, 3.0], 1.0)] {
            assert!((model.log_odds(&row) - expected).abs() < 0.1, "{row:?}: {}", model.log_odds(&row));
        }
    }

    #[test]
    fn separable_data_give_a_finite_fit_and_one_class_none() {
        let rows: Vec<Vec<f64>> = (0..10).map(|i| vec![f64::from(i)]).collect();
        let positive: Vec<bool> = (0..10).map(|i| i > 4).collect();
        let model = Logistic::fit(&rows, &positive, 1.0).unwrap();
        assert!(model.log_odds(&[9.0]) > 0.0 && model.log_odds(&[0.0]) < 0.0);
        assert!(Logistic::fit(&rows, &[true; 10], 1.0).is_none());
    }

    #[test]
    fn held_out_scores_of_noise_say_nothing_and_those_of_a_signal_do() {
        for (slope, low, high) in [(0.0, 0.44, 0.56), (2.0, 0.8, 0.95)] {
            let (rows, positive, groups) = sample(1000, slope);
            let scores = cross_validated(&rows, &positive, &groups, 5, 1.0, 42).unwrap();
            let auc = auc(&scores, &positive).unwrap();
            assert!((low..high).contains(&auc), "slope {slope}: {auc}");
        }
    }
}
