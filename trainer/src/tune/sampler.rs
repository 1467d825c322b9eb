//! The sampler: draws a configuration from the seed, the trial number and the results so far.

use super::space::Parameters;
use super::study::{Study, Trial, TrialState};
use crate::config::tune::{Range, Sampler};
use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tpe::TpeOptimizerBuilder;

/// Share of the results that counts as good: large, because a study has only tens of results.
const GOOD_SHARE: f64 = 0.25;

pub fn draw(study: &Study) -> Result<Parameters> {
    let (definition, number) = (&study.definition, study.trials.len());
    let results = ranked_trials(study);
    let learn = definition.sampler == Sampler::Tpe && results.len() >= definition.startup_trials;
    let mut rng = ChaCha8Rng::seed_from_u64(definition.seed);
    rng.set_stream(number as u64 + 1);
    let n_keys = definition.space.len();
    let mut parameters = Parameters::new();
    for (dimension, (key, range)) in definition.space.iter().enumerate() {
        let position = if learn {
            parzen(&results, key, range, &mut rng)?
        } else {
            let [low, high] = range.interval();
            low + (high - low) * quasi_random(definition.seed, number, dimension, n_keys)
        };
        parameters.insert(key.clone(), range.value(position));
    }
    Ok(parameters)
}

/// All trials with a result, the best first: higher rungs before lower ones, failed trials last.
fn ranked_trials(study: &Study) -> Vec<&Trial> {
    let stopped_at = |rung: usize| {
        study.ranked(rung).into_iter().filter(move |trial| trial.rungs.len() == rung + 1).collect::<Vec<_>>()
    };
    let mut ranked: Vec<&Trial> = (0..study.definition.rungs.len()).rev().flat_map(stopped_at).collect();
    let failed = |trial: &&Trial| trial.state == TrialState::Failed && trial.rungs.is_empty();
    ranked.extend(study.trials.iter().filter(failed));
    ranked
}

fn parzen(results: &[&Trial], key: &str, range: &Range, rng: &mut ChaCha8Rng) -> Result<f64> {
    let estimator = match range {
        Range::Choice(_) => tpe::histogram_estimator(),
        Range::Uniform(_) | Range::LogUniform(_) => tpe::parzen_estimator(),
    };
    let [low, high] = range.interval();
    let mut optimiser =
        TpeOptimizerBuilder::new().gamma(GOOD_SHARE).build(estimator, tpe::range(low, high)?)?;
    for (rank, trial) in results.iter().enumerate() {
        if let Some(position) = trial.parameters.get(key).and_then(|value| range.position(value)) {
            optimiser.tell(position, rank as f64)?;
        }
    }
    Ok(optimiser.ask(rng)?)
}

/// Point `number` of an additive recurrence in `n_dimensions` (Roberts 2018), shifted by the seed. Any number
/// of points covers the space evenly.
fn quasi_random(seed: u64, number: usize, dimension: usize, n_dimensions: usize) -> f64 {
    // The root of x^(d+1) = x + 1, by fixed-point iteration.
    let ratio = (0..64).fold(2.0f64, |x, _| (1.0 + x).powf(1.0 / (n_dimensions as f64 + 1.0)));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(0);
    let shift: f64 = (0..=dimension).fold(0.0, |_, _| rng.random());
    (shift + (number as f64 + 1.0) * ratio.powi(-(dimension as i32 + 1))).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quasi_random_points_cover_every_dimension_evenly() {
        for dimension in 0..4 {
            let mut counts = [0; 8];
            (0..64).for_each(|n| counts[(quasi_random(7, n, dimension, 4) * 8.0) as usize] += 1);
            assert!(counts.iter().all(|count| (5..=11).contains(count)), "{dimension}: {counts:?}");
        }
    }
}
