//! The precision-recall curve and average precision.

use super::judgeable;

/// One point of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrPoint {
    /// Scores from here on are called positive.
    pub threshold: f64,
    /// True positives over positives.
    pub recall: f64,
    /// True positives over positive calls.
    pub precision: f64,
}

/// One point for each distinct score, by descending threshold. `None` without positives or for invalid input
/// (see [`super`]).
pub fn curve(scores: &[f64], positive: &[bool]) -> Option<Vec<PrPoint>> {
    let n_positive = positive.iter().filter(|y| **y).count();
    if !judgeable(scores, positive) || n_positive == 0 {
        return None;
    }
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut flagged, mut right) = (0usize, 0usize);
    let mut points = Vec::new();
    for tied in ranked.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        flagged += tied.len();
        right += tied.iter().filter(|(_, y)| *y).count();
        points.push(PrPoint {
            threshold: tied[0].0,
            recall: right as f64 / n_positive as f64,
            precision: right as f64 / flagged as f64,
        });
    }
    Some(points)
}

/// Average precision: the sum of the precision at each threshold times the recall that it adds, without
/// interpolation. `None` as for [`curve`].
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut recall = 0.0;
    let add = |sum: f64, point: &PrPoint| {
        let gained = point.recall - recall;
        recall = point.recall;
        sum + gained * point.precision
    };
    Some(curve(scores, positive)?.iter().fold(0.0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_is_the_textbook_sum() {
        // scikit-learn's documentation of average_precision_score has this example: 0.83.
        let value = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]).unwrap();
        assert!((value - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
        // If all scores are equal, the precision of calling everything positive.
        assert!((average_precision(&[0.5; 4], &[true, false, false, false]).unwrap() - 0.25).abs() < 1e-12);
        assert!(average_precision(&[0.5], &[false]).is_none());
    }
}
