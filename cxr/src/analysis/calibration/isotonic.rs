//! Isotonic calibration by pooling adjacent violators (Zadrozny and Elkan 2002), to compare the affine
//! calibration with.

/// A non-decreasing step function from logit to probability.
#[derive(Debug, Clone, PartialEq)]
pub struct IsotonicCalibration {
    /// Smallest logit of each block, ascending.
    starts: Vec<f64>,
    /// Share of positives in each block.
    values: Vec<f64>,
}

impl IsotonicCalibration {
    /// Least-squares fit. `None` for no images, different lengths, or a logit that is not finite.
    pub fn fit(logits: &[f64], positive: &[bool]) -> Option<Self> {
        if logits.is_empty() || logits.len() != positive.len() || logits.iter().any(|z| !z.is_finite()) {
            return None;
        }
        let mut ranked: Vec<(f64, f64)> =
            logits.iter().zip(positive).map(|(z, y)| (*z, f64::from(u8::from(*y)))).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Blocks of (first logit, sum, count). Ties start as one block.
        let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
        for tied in ranked.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let sum = tied.iter().map(|(_, y)| y).sum::<f64>();
            let mut block = (tied[0].0, sum, tied.len() as f64);
            while let Some(last) = blocks.last().filter(|last| last.1 / last.2 >= block.1 / block.2) {
                block = (last.0, last.1 + block.1, last.2 + block.2);
                blocks.pop();
            }
            blocks.push(block);
        }
        let starts = blocks.iter().map(|block| block.0).collect();
        let values = blocks.iter().map(|block| block.1 / block.2).collect();
        Some(Self { starts, values })
    }

    /// Share of positives in the logit's block. Logits below all blocks get the first one's.
    pub fn apply(&self, logit: f64) -> f64 {
        self.values[self.starts.partition_point(|start| *start <= logit).max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violators_are_pooled() {
        let logits = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let positive = [false, true, false, true, true, true];
        let fit = IsotonicCalibration::fit(&logits, &positive).unwrap();
        let expected = [0.0, 0.5, 0.5, 1.0, 1.0, 1.0];
        for (logit, expected) in logits.iter().zip(expected) {
            assert!((fit.apply(*logit) - expected).abs() < 1e-12, "{logit}");
        }
        assert!(fit.apply(-9.0).abs() < 1e-12 && (fit.apply(9.0) - 1.0).abs() < 1e-12);
    }
}
