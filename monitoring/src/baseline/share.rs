//! Shares of images, and how far they can be trusted.

use super::ShareReference;
use super::sample::Sample;
use std::collections::BTreeMap;

/// Standard errors of the difference from which weekends count as different from weekdays.
const DIFFERS: f64 = 3.3;
/// Fewer images of either cannot be told apart.
const MIN_DAYS: usize = 200;

/// Mean of values from 0 to 1 over the rows that have one. The tolerance is `materiality` and three standard
/// errors of the mean.
pub(super) fn reference(
    sample: &Sample,
    rows: &[(u32, i32)],
    value: &dyn Fn(usize) -> f64,
    materiality: f64,
) -> Option<ShareReference> {
    let of = |is_wanted: &dyn Fn(usize) -> bool| -> Vec<(f64, i32)> {
        let wanted = rows.iter().filter(|(row, _)| is_wanted(*row as usize));
        wanted.map(|(row, day)| (value(*row as usize), *day)).filter(|(x, _)| !x.is_nan()).collect()
    };
    let tolerated = |(mean, error): (f64, f64)| (mean, materiality + 3.0 * error);
    let all = of(&|_| true);
    let (mean, tolerance) = tolerated(mean_and_error(&all)?);
    let days = [of(&|row| sample.strata[row] < 4), of(&|row| sample.strata[row] >= 4)];
    let mut by_days = [(mean, tolerance); 2];
    if days.iter().all(|values| values.len() >= MIN_DAYS) {
        let (weekday, weekend) = (mean_and_error(&days[0])?, mean_and_error(&days[1])?);
        let error = (weekday.1 * weekday.1 + weekend.1 * weekend.1).sqrt();
        if (weekday.0 - weekend.0).abs() > DIFFERS * error {
            by_days = [tolerated(weekday), tolerated(weekend)];
        }
    }
    Some(ShareReference { mean, tolerance, by_days })
}

/// The mean with its standard error, of independent images or of independent days, whichever is larger.
fn mean_and_error(values: &[(f64, i32)]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    if n < 2.0 {
        return None;
    }
    let mean = values.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mut by_day = BTreeMap::<i32, f64>::new();
    for (x, day) in values {
        *by_day.entry(*day).or_default() += x - mean;
    }
    let of_days = by_day.values().map(|sum| sum * sum).sum::<f64>() / (n * n);
    let of_images = values.iter().map(|(x, _)| (x - mean) * (x - mean)).sum::<f64>() / (n * n);
    // No case among n images leaves room for three.
    Some((mean.clamp(0.0, 1.0), of_days.max(of_images).sqrt().max(1.0 / n)))
}
