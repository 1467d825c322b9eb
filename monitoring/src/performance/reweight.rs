//! Weights of local labels by how much their images look like those to estimate: the ratio of the densities,
//! by logistic regression of which set an image is from (PAPE, Bialek et al. 2024).

use super::Scored;
use super::estimate::Known;
use super::logistic::{self, Row, dot, logit};

/// Standard deviation of the prior of each coefficient: without a difference, all weights are near 1.
const PRIOR: f64 = 0.3;
/// Largest ratio, so that one label cannot decide.
const MOST: f64 = 10.0;
/// Farthest that a coordinate counts, in standard deviations.
const FARTHEST: f32 = 5.0;

/// One weight for each label. `None` if images have different coordinates, or if few labels resemble them:
/// then the weights would rest on a handful.
pub(super) fn similarity(labels: &[Known], images: &[Scored]) -> Option<Vec<f64>> {
    let d = images.first()?.coordinates.len();
    let all = labels.iter().map(|known| &known.scored).chain(images);
    if all.clone().any(|scored| scored.coordinates.len() != d) {
        return None;
    }
    // Both sets weigh the same, and together as much as the smaller one twice: that is what is known.
    let smaller = labels.len().min(images.len()) as f64;
    let share =
        [smaller / images.len() as f64, smaller / labels.iter().map(|known| known.weight).sum::<f64>()];
    let rows: Vec<Row> = labels
        .iter()
        .map(|known| Row {
            features: features(&known.scored),
            positive: false,
            weight: share[1] * known.weight,
        })
        .chain(images.iter().map(|image| Row { features: features(image), positive: true, weight: share[0] }))
        .collect();
    let mut precision = vec![1.0 / (PRIOR * PRIOR); d + 2];
    precision[0] = 1e-2;
    let fit = logistic::fit(&rows, &vec![0.0; d + 2], &precision)?;
    let weights: Vec<f64> = rows[..labels.len()]
        .iter()
        .map(|row| dot(&row.features, &fit.coefficients).exp().min(MOST))
        .collect();
    let (sum, squares) = (weights.iter().sum::<f64>(), dot(&weights, &weights));
    (sum * sum / squares >= 100.0).then_some(weights)
}

fn features(scored: &Scored) -> Vec<f64> {
    let coordinates = scored.coordinates.iter().map(|z| f64::from(z.clamp(-FARTHEST, FARTHEST)));
    let coordinates = coordinates.map(|z| if z.is_nan() { 0.0 } else { z });
    [1.0, 0.5 * logit(scored.probability)].into_iter().chain(coordinates).collect()
}
