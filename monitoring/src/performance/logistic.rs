//! Logistic regression with a normal prior, by Newton's method.

/// Coefficients with their covariance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    pub(super) coefficients: Vec<f64>,
    pub(super) covariance: Vec<Vec<f64>>,
}

/// One row of features with its class and weight.
pub(super) struct Row {
    pub(super) features: Vec<f64>,
    pub(super) positive: bool,
    pub(super) weight: f64,
}

/// Most likely coefficients under a prior with `mean` and `precision` of each. `None` if they are not found,
/// which values that are not finite cause.
pub(super) fn fit(rows: &[Row], mean: &[f64], precision: &[f64]) -> Option<Fit> {
    let d = mean.len();
    let mut coefficients = mean.to_vec();
    for _ in 0..100 {
        let (gradient, factor) = derivatives(rows, &coefficients, mean, precision)?;
        let step = solve(&factor, &gradient);
        // Half a step where a whole one would leave the region in which the quadratic holds.
        let length = step.iter().map(|s| s.abs()).fold(0.0, f64::max);
        let scale = if length > 2.0 { 2.0 / length } else { 1.0 };
        coefficients.iter_mut().zip(&step).for_each(|(c, s)| *c += scale * s);
        if length < 1e-9 {
            let covariance = (0..d).map(|i| solve(&factor, &unit(i, d))).collect();
            return Some(Fit { coefficients, covariance });
        }
    }
    None
}

/// Gradient, and the Cholesky factor of the negative Hessian.
fn derivatives(
    rows: &[Row],
    coefficients: &[f64],
    mean: &[f64],
    precision: &[f64],
) -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
    let d = mean.len();
    let mut gradient: Vec<f64> = (0..d).map(|i| precision[i] * (mean[i] - coefficients[i])).collect();
    let mut hessian = vec![vec![0.0; d]; d];
    for (i, row) in hessian.iter_mut().enumerate() {
        row[i] = precision[i];
    }
    for row in rows {
        let p = sigmoid(dot(&row.features, coefficients));
        let residual = row.weight * (f64::from(u8::from(row.positive)) - p);
        let variance = row.weight * p * (1.0 - p);
        for (i, feature) in row.features.iter().enumerate() {
            gradient[i] += residual * feature;
            for (sum, other) in hessian[i].iter_mut().zip(&row.features[..=i]) {
                *sum += variance * feature * other;
            }
        }
    }
    Some((gradient, cholesky(hessian)?))
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Log odds, finite for probabilities of 0 and 1.
pub(super) fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    (p / (1.0 - p)).ln()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn unit(i: usize, d: usize) -> Vec<f64> {
    (0..d).map(|j| f64::from(u8::from(i == j))).collect()
}

/// Lower factor of a symmetric matrix of which only the lower half is read. `None` unless positive definite.
pub(super) fn cholesky(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let rest = matrix[i][j] - dot(&matrix[i][..j], &matrix[j][..j]);
            matrix[i][j] = if i != j {
                rest / matrix[j][j]
            } else if rest > 0.0 && rest.is_finite() {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    Some(matrix)
}

fn solve(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let d = right.len();
    let mut x = right.to_vec();
    for i in 0..d {
        x[i] = (x[i] - dot(&factor[i][..i], &x[..i])) / factor[i][i];
    }
    for i in (0..d).rev() {
        let above: f64 = (i + 1..d).map(|j| factor[j][i] * x[j]).sum();
        x[i] = (x[i] - above) / factor[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_is_that_of_scipy() {
        // scipy 1.17 `minimize(method="BFGS", tol=1e-12)` of the same penalised likelihood.
        let data =
            [(-2.0, false, 1.0), (-1.0, false, 2.0), (0.5, true, 1.0), (0.2, false, 1.0), (1.5, true, 3.0)];
        let rows: Vec<Row> =
            data.map(|(x, positive, weight)| Row { features: vec![1.0, x], positive, weight }).into();
        let found = fit(&rows, &[0.0, 1.0], &[0.5, 4.0]).unwrap();
        let expected = [FIT_INTERCEPT, FIT_SLOPE];
        for (found, expected) in found.coefficients.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert!((found.covariance[0][1] - found.covariance[1][0]).abs() < 1e-12);
    }

    const FIT_INTERCEPT: f64 = -0.203_505_14;
    const FIT_SLOPE: f64 = 1.307_099_16;

    #[test]
    fn separated_classes_and_impossible_numbers_are_no_panic() {
        let row = |x: f64| Row { features: vec![1.0, x], positive: x > 0.0, weight: 1.0 };
        let separated = fit(&[row(-3.0), row(3.0)], &[0.0, 1.0], &[0.1, 0.1]).unwrap();
        assert!(separated.coefficients.iter().all(|c| c.is_finite()));
        assert!(fit(&[row(f64::NAN)], &[0.0, 1.0], &[0.1, 0.1]).is_none());
        assert!(fit(&[], &[0.0, 1.0], &[0.1, 0.1]).unwrap().coefficients == [0.0, 1.0]);
    }
}
