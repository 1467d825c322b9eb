//! Reference samples of one quantity, and how far they can be trusted.

use super::sample::{N_STRATA, Sample};
use crate::codec::{DecodeError, Reader, Writer};
use crate::drift::bets::{Function, N_FUNCTIONS, Stakes, values};
use crate::quantity::Quantity;
use std::collections::BTreeMap;

/// Values kept of a larger sample, at even ranks: the error that this adds is a hundredth of a percent.
const MAX_KEPT: usize = 10_000;
/// A stratum, or the rest, with fewer images stays part of the whole.
const MIN_STRATUM: usize = 200;
/// Kolmogorov-Smirnov distance, over `sqrt((n + m) / (n m))`, from which two strata differ (p = 0.001).
const DIFFERS: f64 = 1.95;
/// Least number of values of a quantity.
const MIN_VALUES: usize = 50;
/// Standard deviations of the reference's error that the bets tolerate.
const N_DEVIATIONS: f64 = 3.0;

/// The images of one or several strata.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    sorted: Vec<f32>,
    pub(crate) tolerances: [f64; N_FUNCTIONS],
    pub(crate) stakes: Stakes,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reference {
    pub(crate) quantity: Quantity,
    pub(crate) parts: Vec<Part>,
    pub(crate) part_of: [u8; N_STRATA],
}

/// A value of the baseline: sorted by value.
#[derive(Debug, Clone, Copy)]
struct Item {
    value: f32,
    stratum: u8,
    day: i32,
}

impl Part {
    fn new(items: &[Item], materiality: f64) -> Self {
        let n = items.len() as f64;
        // Ties share their middle rank.
        let mut by_day: BTreeMap<i32, [f64; N_FUNCTIONS]> = BTreeMap::new();
        let mut below = 0;
        for tied in items.chunk_by(|a, b| a.value.total_cmp(&b.value).is_eq()) {
            let at = values((below as f64 + 0.5 * tied.len() as f64) / n);
            below += tied.len();
            for item in tied {
                let sums = by_day.entry(item.day).or_default();
                sums.iter_mut().zip(at).for_each(|(sum, value)| *sum += value);
            }
        }
        let tolerances = std::array::from_fn(|function| {
            // Images of one day depend on each other: the error is the larger of what independent images and
            // independent days would have.
            let of_days = by_day.values().map(|sums| sums[function] * sums[function]).sum::<f64>() / (n * n);
            let of_images = Function::ALL[function].variance() / n;
            materiality + N_DEVIATIONS * of_days.max(of_images).sqrt()
        });
        let kept = items.len().min(MAX_KEPT);
        let at = |index: usize| items[(2 * index + 1) * items.len() / (2 * kept)].value;
        Self { sorted: (0..kept).map(at).collect(), tolerances, stakes: Stakes::new(&tolerances) }
    }

    /// Rank of a value from 0 to 1. `tie` gives a number from 0 to 1 that places it among equal values.
    pub(crate) fn rank(&self, value: f32, tie: impl FnOnce() -> f64) -> f64 {
        let below = self.sorted.partition_point(|v| *v < value);
        let equal = self.sorted[below..].partition_point(|v| *v <= value);
        let place = if equal == 0 { 0.5 } else { tie() * (equal + 1) as f64 };
        (below as f64 + place) / (self.sorted.len() + 1) as f64
    }
}

impl Reference {
    /// `None` for a quantity that is constant or mostly missing. `rows` are indices into the sample with the
    /// day that they count for.
    pub(crate) fn new(
        quantity: Quantity,
        column: &[f32],
        sample: &Sample,
        rows: &[(u32, i32)],
        materiality: f64,
    ) -> Option<Self> {
        let item = |(row, day): &(u32, i32)| {
            let row = *row as usize;
            Item { value: column[row], stratum: sample.strata[row], day: *day }
        };
        let mut items: Vec<Item> = rows.iter().map(item).filter(|item| !item.value.is_nan()).collect();
        items.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (first, last) = (items.first()?, items.last()?);
        if first.value >= last.value || items.len() < MIN_VALUES {
            return None;
        }
        let groups = strata(&items);
        let mut part_of = [0; N_STRATA];
        let part = |(index, group): (usize, &Vec<u8>)| {
            for stratum in group {
                part_of[usize::from(*stratum)] = index as u8;
            }
            let own: Vec<Item> = items.iter().filter(|i| group.contains(&i.stratum)).copied().collect();
            Part::new(&own, materiality)
        };
        let parts = groups.iter().enumerate().map(part).collect();
        Some(Self { quantity, parts, part_of })
    }

    pub(crate) fn part(&self, stratum: usize) -> &Part {
        &self.parts[usize::from(self.part_of[stratum])]
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.n(u64::from(self.quantity.code()));
        writer.bytes(&self.part_of);
        writer.n(self.parts.len() as u64);
        for part in &self.parts {
            part.tolerances.iter().for_each(|tolerance| writer.double(*tolerance));
            writer.n(part.sorted.len() as u64);
            part.sorted.iter().for_each(|value| writer.single(*value));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.n(u64::from(u8::MAX), "a quantity")? as u8;
        let quantity = Quantity::from_code(code).ok_or_else(|| reader.range("a quantity"))?;
        let mut part_of = [0; N_STRATA];
        part_of.copy_from_slice(reader.bytes(N_STRATA)?);
        let n_parts = reader.n(N_STRATA as u64, "the number of strata")? as usize;
        let parts = (0..n_parts).map(|_| decode_part(reader)).collect::<Result<Vec<_>, _>>()?;
        if part_of.iter().any(|part| usize::from(*part) >= n_parts) {
            return Err(reader.range("a stratum"));
        }
        Ok(Self { quantity, parts, part_of })
    }
}

fn decode_part(reader: &mut Reader<'_>) -> Result<Part, DecodeError> {
    let mut tolerances = [0.0; N_FUNCTIONS];
    for tolerance in &mut tolerances {
        *tolerance = reader.finite("a tolerance")?;
        if *tolerance < 0.0 {
            return Err(reader.range("a tolerance"));
        }
    }
    let n = reader.length(4, "a sample's size")?;
    let sorted = (0..n).map(|_| reader.single()).collect::<Result<Vec<_>, _>>()?;
    if sorted.is_empty() || sorted.iter().any(|v| v.is_nan()) || !sorted.is_sorted() {
        return Err(reader.range("a sample"));
    }
    Ok(Part { sorted, tolerances, stakes: Stakes::new(&tolerances) })
}

/// Strata that are alike, together. Weekends are compared with weekdays first, then each block of hours with
/// the rest of its days.
fn strata(items: &[Item]) -> Vec<Vec<u8>> {
    let (weekdays, weekends): (Vec<u8>, Vec<u8>) = ((0..4).collect(), (4..8).collect());
    let days = if differ(items, &weekends, &weekdays) {
        vec![weekdays, weekends]
    } else {
        vec![(0..N_STRATA as u8).collect()]
    };
    let mut groups = Vec::new();
    for whole in days {
        let mut rest = whole.clone();
        for block in 0..4 {
            let (own, others): (Vec<u8>, Vec<u8>) = whole.iter().partition(|stratum| *stratum % 4 == block);
            if rest.len() > own.len() && differ(items, &own, &others) {
                rest.retain(|stratum| !own.contains(stratum));
                groups.push(own);
            }
        }
        groups.push(rest);
    }
    groups.retain(|group| items.iter().any(|item| group.contains(&item.stratum)));
    groups
}

/// Whether the sorted items of two sets of strata differ, and there are enough of both.
fn differ(items: &[Item], first: &[u8], second: &[u8]) -> bool {
    let count = |strata: &[u8]| items.iter().filter(|item| strata.contains(&item.stratum)).count();
    let (n, m) = (count(first), count(second));
    if n.min(m) < MIN_STRATUM {
        return false;
    }
    let (n, m) = (n as f64, m as f64);
    let (mut difference, mut largest) = (0.0f64, 0.0f64);
    for tied in items.chunk_by(|a, b| a.value.total_cmp(&b.value).is_eq()) {
        let count = |strata: &[u8]| tied.iter().filter(|item| strata.contains(&item.stratum)).count() as f64;
        difference += count(first) / n - count(second) / m;
        largest = largest.max(difference.abs());
    }
    largest > DIFFERS * ((n + m) / (n * m)).sqrt()
}
