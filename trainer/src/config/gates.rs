//! `trainer.gates`: bounds for release, which must be set before the test fold is evaluated.

use super::Config;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// A gate that is null is not checked; card and report say so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    pub min_images: Option<PerFold>,
    pub min_patients: Option<PerFold>,
    pub min_auc: Option<f64>,
    pub min_sensitivity: Option<f64>,
    pub min_specificity: Option<f64>,
    pub target_sensitivity: bool,
    pub external: ExternalGate,
    pub max_corruption_loss: Option<f64>,
    pub max_border_auc: Option<f64>,
    pub max_shortcut_loss: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerFold {
    pub train: usize,
    pub select: usize,
    pub calibrate: usize,
    pub test: usize,
}

/// Gates on the set in `evaluation.external`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalGate {
    pub required: bool,
    pub min_auc: f64,
}

impl Gates {
    /// The gates that a verdict needs and that are null.
    pub fn left_out(&self) -> Vec<&'static str> {
        let stated = [
            (self.min_auc, "the AUC (trainer.gates.min_auc)"),
            (self.min_sensitivity, "the sensitivity (trainer.gates.min_sensitivity)"),
            (self.min_specificity, "the specificity (trainer.gates.min_specificity)"),
        ];
        stated.into_iter().filter(|(bound, _)| bound.is_none()).map(|(_, what)| what).collect()
    }

    /// The gates that are looser than in config/default.yaml, whose value is in brackets.
    pub fn looser_than_default(&self) -> Vec<String> {
        let Ok(Config { gates: default, .. }) = Config::load(&[], None) else { return Vec::new() };
        let mut looser = Vec::new();
        let shown = |bound: Option<f64>| bound.map_or_else(|| "null".to_owned(), |bound| bound.to_string());
        // A gate that is not checked is the loosest.
        for (key, now, usual, is_floor) in [
            ("min_auc", self.min_auc, default.min_auc, true),
            ("min_sensitivity", self.min_sensitivity, default.min_sensitivity, true),
            ("min_specificity", self.min_specificity, default.min_specificity, true),
            ("external.min_auc", Some(self.external.min_auc), Some(default.external.min_auc), true),
            ("max_corruption_loss", self.max_corruption_loss, default.max_corruption_loss, false),
            ("max_border_auc", self.max_border_auc, default.max_border_auc, false),
            ("max_shortcut_loss", self.max_shortcut_loss, default.max_shortcut_loss, false),
        ] {
            let Some(bound) = usual else { continue };
            if now.is_none_or(|now| if is_floor { now < bound } else { now > bound }) {
                looser.push(format!("{key} {} ({bound})", shown(now)));
            }
        }
        for (key, now, usual) in [
            ("min_images", self.min_images, default.min_images),
            ("min_patients", self.min_patients, default.min_patients),
        ] {
            let folds = |least: Option<PerFold>| {
                let PerFold { train, select, calibrate, test } = least.unwrap_or_default();
                [("train", train), ("select", select), ("calibrate", calibrate), ("test", test)]
            };
            let pairs = folds(now).into_iter().zip(folds(usual));
            let fewer = pairs.filter(|((_, now), (_, usual))| now < usual);
            looser.extend(fewer.map(|((fold, now), (_, usual))| format!("{key}.{fold} {now} ({usual})")));
        }
        for (key, now, usual) in [
            ("target_sensitivity", self.target_sensitivity, default.target_sensitivity),
            ("external.required", self.external.required, default.external.required),
        ] {
            if usual && !now {
                looser.push(format!("{key} {now} ({usual})"));
            }
        }
        looser
    }

    pub(super) fn check(&self) -> Result<()> {
        for (key, bound) in [
            ("min_auc", self.min_auc),
            ("min_sensitivity", self.min_sensitivity),
            ("min_specificity", self.min_specificity),
            ("external.min_auc", Some(self.external.min_auc)),
            ("max_corruption_loss", self.max_corruption_loss),
            ("max_border_auc", self.max_border_auc),
            ("max_shortcut_loss", self.max_shortcut_loss),
        ] {
            let is_share = bound.is_none_or(|bound| (0.0..=1.0).contains(&bound));
            ensure!(is_share, "trainer.gates.{key}: {bound:?} is not in [0, 1]");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_that_ask_for_less_than_the_defaults_are_named_with_both_values() {
        let default = Config::load(&[], None).unwrap().gates;
        assert_eq!(default.looser_than_default(), Vec::<String>::new());
        let stricter = Gates { min_auc: Some(0.99), max_border_auc: Some(0.5), ..default.clone() };
        assert_eq!(stricter.looser_than_default(), Vec::<String>::new());
        let few = PerFold { train: 200, select: 50, calibrate: 50, test: 7 };
        let looser = Gates {
            min_specificity: Some(0.05),
            max_shortcut_loss: None,
            min_images: Some(few),
            external: ExternalGate { required: false, ..default.external },
            ..default
        };
        assert_eq!(
            looser.looser_than_default(),
            [
                "min_specificity 0.05 (0.7)",
                "max_shortcut_loss null (0.05)",
                "min_images.test 7 (100)",
                "external.required false (true)"
            ]
        );
    }
}
