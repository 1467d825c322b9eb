//! A window: what is kept of the images of one hour or day. Windows add up exactly, in any order.

use crate::codec::{DecodeError, Reader, Writer};
use crate::histogram::{Histogram, Scale};
use crate::observation::{Observation, Outcome};
use crate::quantity::{MAX_COORDINATES, Quantity};
use crate::snapshot::Counts;
use std::collections::BTreeMap;

const VERSION: u64 = 1;
/// Reasons beyond this count as [`OTHER`]: rows can name any.
const MAX_REASONS: usize = 64;
pub const OTHER: &str = "other";
/// Coordinates are counted in units of 2^-16, so that sums are exact.
const UNIT: f64 = 65536.0;
/// Larger coordinates, in standard deviations, count as this.
const LARGEST: f64 = 32768.0;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    n_rows: u64,
    counts: Counts,
    histograms: BTreeMap<Quantity, Histogram>,
    moments: Moments,
}

/// Sums and second moments of the embedding's coordinates, over embeddings that are finite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Moments {
    n: u64,
    n_coordinates: usize,
    sums: Vec<i128>,
    /// Upper triangle, by rows.
    products: Vec<i128>,
}

impl Window {
    pub const fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn histogram(&self, quantity: Quantity) -> Option<&Histogram> {
        self.histograms.get(&quantity)
    }

    /// Mean and covariance of the embedding's coordinates, and the number of images behind them.
    pub fn embedding(&self) -> Option<(Vec<f64>, Vec<Vec<f64>>, u64)> {
        let moments = &self.moments;
        if moments.n == 0 {
            return None;
        }
        let (k, n) = (moments.n_coordinates, moments.n as f64);
        let mean: Vec<f64> = moments.sums.iter().map(|sum| *sum as f64 / UNIT / n).collect();
        let mut covariance = vec![vec![0.0; k]; k];
        let pairs = (0..k).flat_map(|a| (a..k).map(move |b| (a, b)));
        for ((a, b), product) in pairs.zip(&moments.products) {
            covariance[a][b] = *product as f64 / (UNIT * UNIT) / n - mean[a] * mean[b];
            covariance[b][a] = covariance[a][b];
        }
        Some((mean, covariance, moments.n))
    }

    pub fn add(&mut self, observation: &Observation) {
        self.n_rows += 1;
        match &observation.outcome {
            Outcome::Predicted => {
                self.counts.n_predicted += 1;
                let score = observation.score.as_ref();
                self.counts.n_positive += u64::from(score.is_some_and(|s| s.probability >= s.threshold));
                self.counts.n_referred += u64::from(score.is_some_and(|s| s.review_required));
            }
            Outcome::Rejected(reason) => count_reason(&mut self.counts.n_rejected, reason, 1),
            Outcome::Expired => self.counts.n_expired += 1,
            Outcome::Failed => self.counts.n_failed += 1,
        }
        for quantity in Quantity::all() {
            if let Some(value) = quantity.of(observation) {
                self.histograms.entry(quantity).or_default().add(Scale::of(quantity), value);
            }
        }
        if let Some(score) = &observation.score {
            self.moments.add(&score.coordinates);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.n_rows = self.n_rows.saturating_add(other.n_rows);
        let (to, from) = (&mut self.counts, &other.counts);
        for (to, from) in [
            (&mut to.n_predicted, from.n_predicted),
            (&mut to.n_positive, from.n_positive),
            (&mut to.n_referred, from.n_referred),
            (&mut to.n_expired, from.n_expired),
            (&mut to.n_failed, from.n_failed),
        ] {
            *to = to.saturating_add(from);
        }
        for (reason, n) in &from.n_rejected {
            count_reason(&mut to.n_rejected, reason, *n);
        }
        for (quantity, histogram) in &other.histograms {
            self.histograms.entry(*quantity).or_default().merge(histogram);
        }
        self.moments.merge(&other.moments);
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.n(VERSION);
        writer.n(self.n_rows);
        let counts = &self.counts;
        for n in [
            counts.n_predicted,
            counts.n_positive,
            counts.n_referred,
            counts.n_expired,
            counts.n_failed,
            counts.n_rejected.len() as u64,
        ] {
            writer.n(n);
        }
        for (reason, n) in &counts.n_rejected {
            writer.text(reason);
            writer.n(*n);
        }
        writer.n(self.histograms.len() as u64);
        for (quantity, histogram) in &self.histograms {
            writer.n(u64::from(quantity.code()));
            histogram.encode(&mut writer);
        }
        writer.n(self.moments.n);
        writer.n(self.moments.n_coordinates as u64);
        for sum in self.moments.sums.iter().chain(&self.moments.products) {
            writer.signed(*sum);
        }
        writer.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a window", VERSION)?;
        let mut count = || reader.n(u64::MAX, "a count");
        let n_rows = count()?;
        let mut counts = Counts {
            n_predicted: count()?,
            n_positive: count()?,
            n_referred: count()?,
            n_expired: count()?,
            n_failed: count()?,
            n_rejected: BTreeMap::new(),
        };
        for _ in 0..reader.n(MAX_REASONS as u64 + 1, "the number of reasons")? {
            let reason = reader.text("a reason")?;
            counts.n_rejected.insert(reason.to_string(), reader.n(u64::MAX, "a count")?);
        }
        let mut histograms = BTreeMap::new();
        for _ in 0..reader.length(2, "the number of histograms")? {
            let code = reader.n(u64::from(u8::MAX), "a quantity")? as u8;
            let quantity = Quantity::from_code(code).ok_or_else(|| reader.range("a quantity"))?;
            histograms.insert(quantity, Histogram::decode(&mut reader)?);
        }
        let n = reader.n(u64::MAX, "a count")?;
        let k = reader.n(MAX_COORDINATES as u64, "the number of coordinates")? as usize;
        let sums = (0..k).map(|_| reader.signed()).collect::<Result<_, _>>()?;
        let products = (0..k * (k + 1) / 2).map(|_| reader.signed()).collect::<Result<_, _>>()?;
        reader.at_end()?;
        Ok(Self { n_rows, counts, histograms, moments: Moments { n, n_coordinates: k, sums, products } })
    }
}

fn count_reason(counts: &mut BTreeMap<String, u64>, reason: &str, n: u64) {
    let is_known = counts.contains_key(reason) || counts.len() < MAX_REASONS;
    let count = counts.entry(if is_known { reason } else { OTHER }.to_owned()).or_default();
    *count = count.saturating_add(n);
}

impl Moments {
    fn add(&mut self, coordinates: &[f32]) {
        let coordinates = &coordinates[..coordinates.len().min(MAX_COORDINATES)];
        if coordinates.is_empty() || coordinates.iter().any(|c| !c.is_finite()) {
            return;
        }
        self.widen(coordinates.len());
        let unit = |c: &f32| (f64::from(*c).clamp(-LARGEST, LARGEST) * UNIT).round() as i128;
        let mut values = [0; MAX_COORDINATES];
        for (value, coordinate) in values.iter_mut().zip(coordinates) {
            *value = unit(coordinate);
        }
        self.n += 1;
        let values = &values[..self.n_coordinates];
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += value;
        }
        let pairs =
            values.iter().enumerate().flat_map(|(a, first)| values[a..].iter().map(move |b| first * b));
        for (sum, product) in self.products.iter_mut().zip(pairs) {
            *sum += product;
        }
    }

    fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        self.widen(other.n_coordinates);
        other.widen(self.n_coordinates);
        self.n = self.n.saturating_add(other.n);
        for (sum, added) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.saturating_add(added);
        }
        for (sum, added) in self.products.iter_mut().zip(other.products) {
            *sum = sum.saturating_add(added);
        }
    }

    /// Makes room for `k` coordinates; the new ones are zero.
    fn widen(&mut self, k: usize) {
        let old = self.n_coordinates;
        if k <= old {
            return;
        }
        self.sums.resize(k, 0);
        let mut products = Vec::with_capacity(k * (k + 1) / 2);
        let mut known = self.products.iter();
        for a in 0..k {
            for b in a..k {
                products.push(if b < old { known.next().copied().unwrap_or(0) } else { 0 });
            }
        }
        self.products = products;
        self.n_coordinates = k;
    }
}

#[cfg(test)]
mod tests;
