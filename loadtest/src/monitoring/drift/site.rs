//! A site whose images are drawn from the scored ones.

use super::Pool;
use super::images::Shift;
use super::score::Scored;
use monitoring::baseline::sample::Sample;
use monitoring::baseline::{Baseline, Options};
use monitoring::observation::{Observation, Outcome, Score};
use monitoring::stream::{Model, Stream};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// Images a year.
pub(super) const PER_YEAR: usize = 73_000;
/// Monday, 6 January 2025.
const FIRST_S: i64 = 1_736_121_600;
const N_WEEKS: i64 = 4;
/// Share of positives of the site, as in the official test split.
pub(super) const PREVALENCE: f64 = 0.63;

pub(super) struct Site<'a> {
    pub(super) pool: &'a Pool,
    /// Images of the baseline, over four weeks.
    pub(super) n_reference: usize,
    model: Arc<Model>,
}

impl<'a> Site<'a> {
    pub(super) fn new(pool: &'a Pool, n_reference: usize) -> Self {
        let text = |value: &str| value.to_owned();
        let model = Model { version: text("study"), digest: text("00"), variant: text("default") };
        Self { pool, n_reference, model: Arc::new(model) }
    }

    /// The stream of image statistics, and that of the model.
    pub(super) fn streams(&self) -> [Stream; 2] {
        let stream = |model| Stream { site: "study".into(), slice: Stream::ALL.into(), model };
        [stream(None), stream(Some((*self.model).clone()))]
    }

    pub(super) fn options(&self) -> Options {
        Options { min_images: self.n_reference.min(5000), ..Options::default() }
    }

    /// An image of the shift, of a class drawn with `prevalence`.
    pub(super) fn draw(&self, shift: Shift, prevalence: f64, rng: &mut ChaCha8Rng) -> Scored {
        let images = &self.pool[&shift];
        let is_positive = rng.random::<f64>() < prevalence;
        loop {
            let image = &images[rng.random_range(0..images.len())];
            // NIH's labels are not a radiologist's: the classes come as they are.
            if shift == Shift::Adults || image.is_positive == is_positive {
                return image.clone();
            }
        }
    }

    pub(super) fn observation(
        &self,
        image: Scored,
        leaf: u64,
        at_s: i64,
        rng: &mut ChaCha8Rng,
    ) -> Observation {
        Observation {
            leaf_index: leaf,
            id: Uuid::from_u128(rng.random()),
            received_at: OffsetDateTime::from_unix_timestamp(at_s).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            site: "study".into(),
            patient_day: leaf,
            is_repeat: false,
            outcome: Outcome::Predicted,
            view: None,
            inputs: Some(image.inputs),
            score: Some(Score {
                model: Arc::clone(&self.model),
                probability: image.probability,
                threshold: image.threshold,
                ood_score: image.ood_score,
                coordinates: image.coordinates,
                review_required: false,
            }),
        }
    }

    /// Four weeks without a shift, at an even rate.
    pub(super) fn weeks(&self, rng: &mut ChaCha8Rng) -> Vec<Observation> {
        let n = self.n_reference as i64;
        (0..n)
            .map(|leaf| {
                let image = self.draw(Shift::None, PREVALENCE, rng);
                self.observation(image, leaf as u64, FIRST_S + leaf * N_WEEKS * 7 * 86_400 / n, rng)
            })
            .collect()
    }

    /// The baselines of both streams, with the thresholds of a site of [`PER_YEAR`] images and no detector
    /// armed.
    pub(super) fn baselines(
        &self,
        images: &[Observation],
        used_per_year: f64,
    ) -> anyhow::Result<Vec<(Sample, Baseline)>> {
        let options = self.options();
        let of = |stream: &Stream| {
            let sample = Sample::of(stream, images);
            let mut baseline = Baseline::of_sample(&sample, &options)?;
            for setting in &mut baseline.settings {
                setting.threshold = used_per_year / (options.alarms_per_year * setting.detector.share());
            }
            baseline.used_per_year = used_per_year;
            Ok((sample, baseline))
        };
        self.streams().iter().map(of).collect()
    }
}
