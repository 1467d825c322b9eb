//! The site's baseline: frozen images of a site that later images are compared with. An admin approves it,
//! and nothing changes it by itself.

pub(crate) mod reference;
pub mod sample;
mod share;
#[cfg(test)]
mod tests;

use crate::codec::{DecodeError, Reader, Writer};
use crate::observation::Observation;
use crate::quantity::{Group, N_QUANTITIES};
use crate::stream::{Model, Stream};
use reference::Reference;
use sample::Sample;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const VERSION: u64 = 1;
const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;

/// A detector that a baseline arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    Prevalence,
    #[serde(untagged)]
    Group(Group),
}

impl Detector {
    pub const ALL: [Self; 6] = [
        Self::Group(Group::Inputs),
        Self::Group(Group::Score),
        Self::Group(Group::Ood),
        Self::Group(Group::Embedding),
        Self::Group(Group::Rejections),
        Self::Prevalence,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Group(group) => group.name(),
            Self::Prevalence => "prevalence",
        }
    }

    /// Share of the site's budget of false alarms. The six add up to 1.
    pub const fn share(self) -> f64 {
        match self {
            Self::Group(Group::Inputs) => 0.3,
            Self::Group(Group::Embedding) => 0.25,
            Self::Prevalence => 0.15,
            Self::Group(_) => 0.1,
        }
    }

    /// Whether a stream has the detector: inputs and rejections go on across models.
    pub const fn is_of(self, stream: &Stream) -> bool {
        matches!(self, Self::Group(Group::Inputs | Group::Rejections)) != stream.model.is_some()
    }
}

/// How a baseline is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Images that detectors use: first images of patient-days.
    pub min_images: usize,
    pub min_weeks: u64,
    /// Mean of 2 p - 1, with p the rank in the baseline, that counts as no change.
    pub materiality: f64,
    /// Difference of a share of images that counts as no change.
    pub share_materiality: f64,
    /// False alarms a year that the detectors of drift and prevalence of the site may raise together.
    pub alarms_per_year: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_images: 5000,
            min_weeks: 4,
            materiality: 0.03,
            share_materiality: 0.01,
            alarms_per_year: 1.0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BaselineError {
    #[error(
        "{found} images can be used, a baseline needs {needed}: images of a patient and day count once; wait, or choose \
         a longer range"
    )]
    FewImages { found: usize, needed: usize },
    #[error("the images span {found} whole weeks, a baseline needs {needed}: wait, or choose a longer range")]
    FewWeeks { found: u64, needed: u64 },
    #[error("none of the stream's quantities varies: there is nothing to compare")]
    NothingVaries,
    #[error("the budget of {0} alarms a year is not a positive number")]
    Budget(f64),
}

/// Threshold of a detector, and whether its simulation kept the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    pub detector: Detector,
    pub threshold: f64,
    pub is_armed: bool,
}

/// A share of images with what the bets tolerate around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShareReference {
    pub mean: f64,
    pub tolerance: f64,
    /// Mean and tolerance on weekdays and on weekends: those of all days unless they differ.
    pub by_days: [(f64, f64); 2],
}

#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    pub stream: Stream,
    pub first_leaf: u64,
    pub last_leaf: u64,
    /// Unix time in seconds.
    pub first_at_s: i64,
    pub last_at_s: i64,
    pub n_images: u64,
    /// First images of patient-days.
    pub n_used: u64,
    pub n_weeks: u64,
    /// Used images a year, from the baseline's rate.
    pub used_per_year: f64,
    pub(crate) references: Vec<Reference>,
    pub rejections: Option<ShareReference>,
    /// Of the mean probability.
    pub prevalence: Option<ShareReference>,
    /// 99th percentile of `ood_score`, and the share of images above it.
    pub ood: Option<(f64, f64)>,
    pub settings: Vec<Setting>,
}

impl Baseline {
    /// Freezes a stream's images as a baseline. No detector is armed: see [`crate::simulate`].
    ///
    /// # Errors
    /// Too few images or weeks, or nothing that varies.
    pub fn propose(
        stream: &Stream,
        observations: &[Observation],
        options: &Options,
    ) -> Result<Self, BaselineError> {
        Self::of_sample(&Sample::of(stream, observations), options)
    }

    /// [`Baseline::propose`] from the columns that a simulation uses too.
    pub fn of_sample(sample: &Sample, options: &Options) -> Result<Self, BaselineError> {
        let (n, weeks) = (sample.n_used(), sample.n_weeks());
        if n < options.min_images.max(2) {
            return Err(BaselineError::FewImages { found: n, needed: options.min_images.max(2) });
        }
        if weeks < options.min_weeks {
            return Err(BaselineError::FewWeeks { found: weeks, needed: options.min_weeks });
        }
        if !(options.alarms_per_year > 0.0 && options.alarms_per_year.is_finite()) {
            return Err(BaselineError::Budget(options.alarms_per_year));
        }
        let rows: Vec<(u32, i32)> = (0..).zip(sample.days.iter().copied()).collect();
        let span_s = (sample.last_at - sample.first_at).max(86_400) as f64;
        let baseline = Self::of_rows(sample, &rows, n as f64 * SECONDS_PER_YEAR / span_s, options);
        let has_none = baseline.references.is_empty() && baseline.rejections.is_none();
        if has_none { Err(BaselineError::NothingVaries) } else { Ok(baseline) }
    }

    /// From some of the sample's rows, with the day that each counts for.
    pub(crate) fn of_rows(
        sample: &Sample,
        rows: &[(u32, i32)],
        used_per_year: f64,
        options: &Options,
    ) -> Self {
        let reference = |(quantity, column): &(_, Vec<f32>)| {
            Reference::new(*quantity, column, sample, rows, options.materiality)
        };
        let stream = sample.stream.clone();
        let with_model = stream.model.is_some();
        let share =
            |value: &dyn Fn(usize) -> f64| share::reference(sample, rows, value, options.share_materiality);
        let rejected = |row: usize| f64::from(u8::from(sample.is_rejected[row]));
        let prevalence = share(&|row| sample.probability[row]);
        let detectors = Detector::ALL.into_iter().filter(|detector| detector.is_of(&stream));
        let setting = |detector: Detector| Setting {
            detector,
            threshold: used_per_year / (options.alarms_per_year * detector.share()),
            is_armed: false,
        };
        Self {
            first_leaf: sample.first_leaf,
            last_leaf: sample.last_leaf,
            first_at_s: sample.first_at,
            last_at_s: sample.last_at,
            n_images: sample.n_images,
            n_used: rows.len() as u64,
            n_weeks: sample.n_weeks(),
            used_per_year,
            references: sample.columns.iter().filter_map(reference).collect(),
            rejections: if with_model { None } else { share(&rejected) },
            prevalence: if with_model { prevalence } else { None },
            ood: ood_limit(sample, rows),
            settings: detectors.map(setting).collect(),
            stream,
        }
    }

    pub fn setting(&self, detector: Detector) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.detector == detector)
    }

    /// SHA-256 of the encoded baseline.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.n(VERSION);
        writer.text(&self.stream.site);
        writer.text(&self.stream.slice);
        writer.flag(self.stream.model.is_some());
        if let Some(model) = &self.stream.model {
            for text in [&model.version, &model.digest, &model.variant] {
                writer.text(text);
            }
        }
        for n in [self.first_leaf, self.last_leaf, self.n_images, self.n_used, self.n_weeks] {
            writer.n(n);
        }
        writer.signed(self.first_at_s.into());
        writer.signed(self.last_at_s.into());
        writer.double(self.used_per_year);
        for share in [self.rejections, self.prevalence] {
            writer.flag(share.is_some());
            if let Some(share) = share {
                for (mean, tolerance) in [(share.mean, share.tolerance)].into_iter().chain(share.by_days) {
                    writer.double(mean);
                    writer.double(tolerance);
                }
            }
        }
        writer.flag(self.ood.is_some());
        if let Some((limit, share)) = self.ood {
            writer.double(limit);
            writer.double(share);
        }
        writer.n(self.settings.len() as u64);
        for setting in &self.settings {
            let code = Detector::ALL.iter().position(|detector| *detector == setting.detector);
            writer.n(code.unwrap_or(Detector::ALL.len()) as u64);
            writer.double(setting.threshold);
            writer.flag(setting.is_armed);
        }
        writer.n(self.references.len() as u64);
        self.references.iter().for_each(|reference| reference.encode(&mut writer));
        writer.finish()
    }

    /// # Errors
    /// Bytes that no baseline encodes to.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a baseline", VERSION)?;
        let reader = &mut reader;
        let (site, slice) = (reader.text("a site")?.to_string(), reader.text("a slice")?.to_string());
        let model = if reader.flag("a model")? {
            let mut text = || reader.text("a model").map(|text| text.to_string());
            Some(Model { version: text()?, digest: text()?, variant: text()? })
        } else {
            None
        };
        let mut count = || reader.n(u64::MAX, "a count");
        let (first_leaf, last_leaf, n_images) = (count()?, count()?, count()?);
        let (n_used, n_weeks) = (count()?, count()?);
        let mut time = || reader.signed().map(|time| i64::try_from(time).unwrap_or(0));
        let (first_at_s, last_at_s) = (time()?, time()?);
        let used_per_year = reader.finite("a rate")?;
        let (rejections, prevalence) = (decode_share(reader)?, decode_share(reader)?);
        let ood =
            if reader.flag("ood")? { Some((reader.finite("ood")?, reader.finite("ood")?)) } else { None };
        let n_settings = reader.n(Detector::ALL.len() as u64, "the number of detectors")?;
        let settings = (0..n_settings).map(|_| decode_setting(reader)).collect::<Result<_, _>>()?;
        let n_references = reader.n(N_QUANTITIES as u64, "the number of quantities")?;
        let references = (0..n_references).map(|_| Reference::decode(reader)).collect::<Result<_, _>>()?;
        let stream = Stream { site, slice, model };
        let baseline = Self {
            stream,
            first_leaf,
            last_leaf,
            first_at_s,
            last_at_s,
            n_images,
            n_used,
            n_weeks,
            used_per_year,
            references,
            rejections,
            prevalence,
            ood,
            settings,
        };
        reader.at_end()?;
        Ok(baseline)
    }
}

fn decode_share(reader: &mut Reader<'_>) -> Result<Option<ShareReference>, DecodeError> {
    if !reader.flag("a share")? {
        return Ok(None);
    }
    let mut share = || {
        let (mean, tolerance) = (reader.finite("a share")?, reader.finite("a tolerance")?);
        let is_share = (0.0..=1.0).contains(&mean) && tolerance >= 0.0;
        if is_share { Ok((mean, tolerance)) } else { Err(reader.range("a share")) }
    };
    let ((mean, tolerance), by_days) = (share()?, [share()?, share()?]);
    Ok(Some(ShareReference { mean, tolerance, by_days }))
}

fn decode_setting(reader: &mut Reader<'_>) -> Result<Setting, DecodeError> {
    let code = reader.n(Detector::ALL.len() as u64 - 1, "a detector")? as usize;
    let threshold = reader.finite("a threshold")?;
    Ok(Setting { detector: Detector::ALL[code], threshold, is_armed: reader.flag("armed")? })
}

fn ood_limit(sample: &Sample, rows: &[(u32, i32)]) -> Option<(f64, f64)> {
    let column = sample.columns.iter().find(|(quantity, _)| quantity.group() == Group::Ood);
    let column = column.map(|(_, column)| column)?;
    let mut values: Vec<f32> =
        rows.iter().map(|(row, _)| column[*row as usize]).filter(|v| !v.is_nan()).collect();
    values.sort_by(f32::total_cmp);
    let limit = *values.get((values.len() * 99).div_ceil(100).saturating_sub(1))?;
    let above = values.iter().filter(|value| **value > limit).count();
    limit.is_finite().then(|| (f64::from(limit), above as f64 / values.len() as f64))
}
