//! Ridge-penalised logistic regression: the linear probe of `eda` and of the robustness suite.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

const ITERATIONS: usize = 30;

#[derive(Debug)]
pub struct Logistic {
    mean: Tensor,
    deviation: Tensor,
    weights: Tensor,
}

/// Newton's method (iteratively reweighted least squares) on standardised features, float64 `[n, d]`. The
/// penalty is `ridge / 2` times the squared norm of the weights, without the intercept.
pub fn fit(features: &Tensor, positive: &[bool], ridge: f64) -> Result<Logistic> {
    let n_positive = positive.iter().filter(|label| **label).count();
    ensure!(0 < n_positive && n_positive < positive.len(), "a classifier needs both classes");
    let mean = features.mean_dim([0i64].as_slice(), true, Kind::Double);
    let deviation = features.std_dim([0i64].as_slice(), false, true).clamp_min(1e-9);
    let x = with_intercept(&((features - &mean) / &deviation));
    let labels: Vec<f64> = positive.iter().map(|label| f64::from(u8::from(*label))).collect();
    let y = Tensor::from_slice(&labels).view([-1, 1]);
    let (d, options) = (x.size()[1], (Kind::Double, x.device()));
    let penalty = Tensor::eye(d, options) * ridge;
    let _ = penalty.narrow(0, d - 1, 1).fill_(0.0);
    let mut weights = Tensor::zeros([d, 1], options);
    for _ in 0..ITERATIONS {
        let p = x.matmul(&weights).sigmoid();
        let gradient = x.tr().matmul(&(&p - &y)) + penalty.matmul(&weights);
        let curvature = (&p - &p * &p).clamp_min(1e-6);
        let hessian = x.tr().matmul(&(&x * curvature)) + &penalty + Tensor::eye(d, options) * 1e-9;
        let step = Tensor::linalg_solve(&hessian, &gradient, true);
        weights -= &step;
        if step.abs().max().double_value(&[]) < 1e-8 {
            break;
        }
    }
    Ok(Logistic { mean, deviation, weights })
}

impl Logistic {
    pub fn logits(&self, features: &Tensor) -> Result<Vec<f64>> {
        let x = with_intercept(&((features - &self.mean) / &self.deviation));
        Ok(Vec::try_from(x.matmul(&self.weights).flatten(0, -1))?)
    }
}

fn with_intercept(x: &Tensor) -> Tensor {
    Tensor::cat(&[x, &Tensor::ones([x.size()[0], 1], (Kind::Double, x.device()))], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ridge_solution_is_stationary() {
        tch::manual_seed(1);
        let features = Tensor::randn([200, 3], (Kind::Double, tch::Device::Cpu));
        let noise = Tensor::randn([200, 1], (Kind::Double, tch::Device::Cpu));
        let score = features.narrow(1, 0, 1) * 2.0 - features.narrow(1, 2, 1) + 0.3 + noise;
        let positive = Vec::<bool>::try_from(score.gt(0.0).flatten(0, -1)).unwrap();
        let model = fit(&features, &positive, 1.0).unwrap();
        let logits = model.logits(&features).unwrap();
        let x = with_intercept(&((&features - &model.mean) / &model.deviation));
        let residual = |(z, y): (&f64, &bool)| 1.0 / (1.0 + (-z).exp()) - f64::from(u8::from(*y));
        let residual: Vec<f64> = logits.iter().zip(&positive).map(residual).collect();
        let gradient = x.tr().matmul(&Tensor::from_slice(&residual).view([-1, 1]));
        // The intercept is not penalised, so its gradient vanishes; the others equal minus the weights.
        let expected = &model.weights * -1.0;
        assert!((gradient.get(3)).abs().double_value(&[0]) < 1e-6);
        assert!((gradient.narrow(0, 0, 3) - expected.narrow(0, 0, 3)).abs().max().double_value(&[]) < 1e-6);
        assert!(fit(&features, &[true; 200], 1.0).is_err());
    }
}
