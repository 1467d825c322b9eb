//! What others do: windows of 50 images, each quantity tested against the baseline with Kolmogorov and
//! Smirnov, with Bonferroni's correction within a window.

use super::delays::shifts;
use super::images::Shift;
use super::site::{PER_YEAR, PREVALENCE, Site};
use anyhow::{Context, Result};
use cxr::analysis::drift::kolmogorov_smirnov;
use monitoring::observation::Observation;
use monitoring::quantity::Quantity;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::fmt::Write;

const WINDOW: usize = 50;
/// Windows after which a shift counts as not found.
const MOST: usize = 60;

pub(super) fn table(site: &Site<'_>, n_draws: usize) -> Result<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let mut reference = columns(&site.weeks(&mut rng));
    // Sorting what is sorted is quick.
    for column in &mut reference {
        column.sort_by(f64::total_cmp);
    }
    let mut text = format!(
        "\n### Kolmogorov-Smirnov, windows of {WINDOW}, Bonferroni, the same images\n\n| shift | found | median images | 90th \
         percentile |\n|---|---|---|---|\n"
    );
    let window = |shift: Shift, prevalence: f64, rng: &mut ChaCha8Rng| {
        let images = (0..WINDOW).map(|_| {
            let image = site.draw(shift, prevalence, rng);
            site.observation(image, 0, 0, rng)
        });
        is_alarm(&reference, &columns(&images.collect::<Vec<_>>()))
    };
    for (name, shift, prevalence) in shifts(site) {
        let mut delays = Vec::new();
        for _ in 0..n_draws {
            let mut first = usize::MAX;
            for number in 1..=MOST {
                if window(shift, prevalence, &mut rng).context("every quantity has values")? {
                    first = number * WINDOW;
                    break;
                }
            }
            delays.push(first);
        }
        delays.sort_unstable();
        let found = delays.iter().filter(|delay| **delay < usize::MAX).count();
        let at = |share: usize| match delays[(n_draws * share).div_ceil(100) - 1] {
            usize::MAX => format!("> {}", MOST * WINDOW),
            delay => delay.to_string(),
        };
        writeln!(text, "| {name} | {found} of {n_draws} | {} | {} |", at(50), at(90))?;
    }
    let n_windows = 2 * PER_YEAR / WINDOW;
    let mut n_false = 0;
    for _ in 0..n_windows {
        n_false += u32::from(window(Shift::None, PREVALENCE, &mut rng).context("every quantity has values")?);
    }
    writeln!(text, "\nFalse alarms of this test: {} a year, from two years.", f64::from(n_false) / 2.0)?;
    Ok(text)
}

fn columns(images: &[Observation]) -> Vec<Vec<f64>> {
    let column = |quantity: Quantity| images.iter().filter_map(|image| quantity.of(image)).collect();
    Quantity::all().map(column).collect()
}

/// Whether a quantity's statistic exceeds the asymptotic 5 % level over the number of quantities.
fn is_alarm(reference: &[Vec<f64>], window: &[Vec<f64>]) -> Option<bool> {
    let varies = |column: &&Vec<f64>| column.iter().any(|value| value.total_cmp(&column[0]).is_ne());
    let n_quantities = reference.iter().filter(varies).count() as f64;
    let level = (-(0.05 / n_quantities / 2.0).ln() / 2.0).sqrt();
    let mut alarm = false;
    for (reference, window) in reference.iter().zip(window).filter(|(reference, _)| varies(reference)) {
        let distance = kolmogorov_smirnov(reference, window)?;
        let (n, m) = (reference.len() as f64, window.len() as f64);
        alarm |= distance * (n * m / (n + m)).sqrt() > level;
    }
    Some(alarm)
}
