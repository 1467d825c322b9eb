//! False alarms of simulated years.

use super::site::{PER_YEAR, Site};
use anyhow::Result;
use monitoring::observation::Observation;
use monitoring::simulate::{Plan, simulate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::fmt::Write;
use time::Weekday;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Plain,
    ThreeAPatient,
    Weekend,
}

pub(super) fn table(site: &Site<'_>, reference: &str, n_years: usize) -> Result<String> {
    let mut text = format!(
        "\n### False alarms, baseline of {reference}\n\n| case | detector | alarms in {n_years} years | stated a year | measured a \
         year (95 %) |\n|---|---|---|---|---|\n"
    );
    for (case, name) in [
        (Case::Plain, "one image a patient-day"),
        (Case::ThreeAPatient, "three images a patient-day"),
        (Case::Weekend, "weekends 1 sd away"),
    ] {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let images = images(site, case, &mut rng);
        let used = if case == Case::ThreeAPatient { PER_YEAR / 3 } else { PER_YEAR };
        let (mut n, mut stated, mut highest) = (0, 0.0, 0.0);
        for (sample, baseline) in site.baselines(&images, used as f64)? {
            let plan = Plan { n_years, n_delays: 0, ..Plan::default() };
            let simulation = simulate(&sample, &baseline, &site.options(), &plan, &|_| {});
            for found in &simulation.detectors {
                n += found.n_alarms;
                stated += found.stated_per_year;
                writeln!(
                    text,
                    "| {name} | {} | {} | {:.2} | {:.3} ({:.3} to {:.3}) |",
                    found.detector.name(),
                    found.n_alarms,
                    found.stated_per_year,
                    found.measured_per_year,
                    found.low_per_year,
                    found.high_per_year
                )?;
                highest += found.high_per_year;
            }
        }
        let all = n as f64 / n_years as f64;
        writeln!(
            text,
            "| {name} | **all** | {n} | {stated:.2} | {all:.3} (sum of upper ends {highest:.3}) |"
        )?;
    }
    Ok(text)
}

fn images(site: &Site<'_>, case: Case, rng: &mut ChaCha8Rng) -> Vec<Observation> {
    let mut images = site.weeks(rng);
    match case {
        Case::Plain => images,
        Case::ThreeAPatient => {
            let thrice = |image: Observation| {
                [false, true, true].map(|is_repeat| Observation { is_repeat, ..image.clone() })
            };
            images.into_iter().flat_map(thrice).collect()
        }
        Case::Weekend => {
            move_weekends(&mut images);
            images
        }
    }
}

/// Adds one standard deviation to everything on weekends; to the probability as to its log odds.
fn move_weekends(images: &mut [Observation]) {
    let n_coordinates = images[0].score.as_ref().map_or(0, |score| score.coordinates.len());
    for index in 0..20 + n_coordinates {
        let values: Vec<f64> = images.iter_mut().filter_map(|image| value(image, index, None)).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        for image in images.iter_mut() {
            if matches!(image.received_at.weekday(), Weekday::Saturday | Weekday::Sunday) {
                value(image, index, Some(deviation));
            }
        }
    }
}

fn value(image: &mut Observation, index: usize, add: Option<f64>) -> Option<f64> {
    let add = add.unwrap_or(0.0);
    if index < 18 {
        let value = &mut image.inputs.as_mut()?[index];
        *value += add;
        return Some(*value);
    }
    let score = image.score.as_mut()?;
    match index {
        18 => {
            let p = score.probability.clamp(1e-9, 1.0 - 1e-9);
            let odds = (p / (1.0 - p)).ln() + add;
            score.probability = 1.0 / (1.0 + (-odds).exp());
            Some(odds)
        }
        19 => {
            score.ood_score += add;
            Some(score.ood_score)
        }
        _ => {
            let coordinate = &mut score.coordinates[index - 20];
            *coordinate += add as f32;
            Some(f64::from(*coordinate))
        }
    }
}
