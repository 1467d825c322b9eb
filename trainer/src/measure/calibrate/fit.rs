//! Fitting a calibration, with advice for the case that it fails.

use anyhow::{Error, Result};
use cxr::AffineCalibration;
use cxr::analysis::scoring::roc;
use cxr::calibrate::CalibrationError;

/// Where the scores come from; the advice depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScoreSource {
    Network,
    Int8,
    Site,
}

impl ScoreSource {
    const fn what(self) -> &'static str {
        match self {
            Self::Network => "the network's scores of the calibrate fold",
            Self::Int8 => "the int8 variant's scores of the calibrate fold",
            Self::Site => "the logged scores",
        }
    }

    /// What to do when positives do not score higher than negatives.
    const fn advice(self) -> &'static str {
        match self {
            Self::Network => {
                "The network has not learnt to tell the classes apart. Train for more epochs (trainer.training.epochs) or on more \
                 images; if the AUC is well below 0.5, check that trainer.data.classes gives each folder its class"
            }
            Self::Int8 => {
                "Rounding to 8 bits lost what tells the classes apart. If the fp32 network's own AUC is near 0.5, train it for more \
                 epochs or on more images; otherwise try trainer.export.int8_weight_bits: 8 or more \
                 trainer.export.int8_images, or leave the variant out with trainer.export.int8: false"
            }
            Self::Site => {
                "The labels contradict the model. Check that each label belongs to its image and that positive means the finding; if \
                 both hold, the model does not work at this site and a new calibration cannot help"
            }
        }
    }
}

pub(crate) fn fit(source: ScoreSource, logits: &[f64], positive: &[bool]) -> Result<AffineCalibration> {
    AffineCalibration::fit(logits, positive).map_err(|cause| {
        let what = source.what();
        let n = positive.len();
        let message = match (&cause, roc::auc(logits, positive)) {
            (CalibrationError::Inverted, Some(auc)) => {
                format!("{what} cannot be calibrated ({n} images, AUC {auc:.3}). {}", source.advice())
            }
            _ => format!("{what} cannot be calibrated ({n} images)"),
        };
        Error::new(cause).context(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_the_wrong_way_round_are_refused_with_advice() {
        for (source, advice) in [
            (ScoreSource::Network, "trainer.training.epochs"),
            (ScoreSource::Int8, "trainer.export.int8: false"),
            (ScoreSource::Site, "positive means the finding"),
        ] {
            let labels = [true, true, false, false];
            let message = format!("{:#}", fit(source, &[-2.0, -1.0, 1.0, 2.0], &labels).unwrap_err());
            assert!(message.contains(advice) && message.contains("4 images, AUC 0.000"), "{message}");
            assert!(message.contains("do not score higher"), "{message}");
        }
    }

    #[test]
    fn one_class_is_named_without_advice_on_training() {
        let message = format!("{:#}", fit(ScoreSource::Network, &[1.0, 2.0], &[true, true]).unwrap_err());
        assert!(message.contains("both classes") && !message.contains("epochs"), "{message}");
    }
}
