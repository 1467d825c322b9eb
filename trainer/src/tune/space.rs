//! The search space: configuration keys, their ranges, and configurations with drawn values.

use crate::config::Config;
use crate::config::tune::Range;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::collections::BTreeMap;

/// Drawn values by configuration key, without `trainer.`.
pub type Parameters = BTreeMap<String, Value>;

impl Range {
    /// The interval that the sampler draws from: logarithms, or positions in a list. The end is exclusive.
    pub fn interval(&self) -> [f64; 2] {
        match self {
            Self::Uniform(bounds) => *bounds,
            Self::LogUniform([low, high]) => [low.ln(), high.ln()],
            Self::Choice(values) => [0.0, values.len() as f64],
        }
    }

    /// The value at a position of the interval. Numbers are rounded to four digits.
    pub fn value(&self, position: f64) -> Value {
        match self {
            Self::Uniform(bounds) => Value::from(rounded(position, *bounds)),
            Self::LogUniform(bounds) => Value::from(rounded(position.exp(), *bounds)),
            Self::Choice(values) => values[(position.max(0.0) as usize).min(values.len() - 1)].clone(),
        }
    }

    /// The inverse of [`Self::value`]; `None` for a value outside of a list of choices.
    pub fn position(&self, value: &Value) -> Option<f64> {
        let [low, high] = self.interval();
        let position = match self {
            Self::Uniform(_) => value.as_f64()?,
            Self::LogUniform(_) => value.as_f64()?.ln(),
            Self::Choice(values) => values.iter().position(|choice| choice == value)? as f64 + 0.5,
        };
        // Rounding may have moved a value to the exclusive end.
        Some(position.clamp(low, high - (high - low) * 1e-9))
    }
}

fn rounded(value: f64, [low, high]: [f64; 2]) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value).clamp(low, high)
}

/// The configuration of a trial: `base` with the drawn values, scheduled for the epochs of the last rung.
pub fn apply(base: &Config, parameters: &Parameters) -> Result<Config> {
    let mut tree = serde_json::to_value(base)?;
    for (key, value) in parameters {
        let pointer = format!("/{}", key.replace('.', "/"));
        *tree
            .pointer_mut(&pointer)
            .with_context(|| format!("trainer.tune.space: {key} is not a configuration key"))? =
            value.clone();
    }
    let mut config: Config = serde_path_to_error::deserialize(tree)
        .map_err(|error| anyhow!("trainer.tune.space: {}: {}", error.path(), error.inner()))?;
    config.training.epochs = base.tune.rungs.last().copied().unwrap_or(1);
    config.check().context("trainer.tune.space: invalid value")?;
    Ok(config)
}

/// A configuration for `--config`, without the section `tune`. It spells out the defaults, so that a later
/// change of a default does not change the training.
pub fn config_yaml(config: &Config) -> Result<String> {
    let mut tree = serde_json::to_value(config)?;
    if let Some(sections) = tree.as_object_mut() {
        sections.remove("tune");
    }
    Ok(serde_yaml_ng::to_string(&serde_json::json!({ "trainer": tree }))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn positions_and_values_are_inverse() {
        for range in [
            Range::Uniform([0.0, 0.5]),
            Range::LogUniform([1e-4, 1e-2]),
            Range::Choice(vec![json!(0), json!(2), json!("adam")]),
        ] {
            let [low, high] = range.interval();
            for step in 0..100 {
                let value = range.value(low + (high - low) * f64::from(step) / 100.0);
                let position = range.position(&value).expect("a value of the range");
                assert!((low..high).contains(&position), "{range:?} {value}");
                assert_eq!(range.value(position), value);
            }
        }
        assert_eq!(Range::Choice(vec![json!(0)]).position(&json!(1)), None);
    }
}
