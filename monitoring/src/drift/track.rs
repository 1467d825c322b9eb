//! Shiryaev-Roberts statistics: evidence that something changed at an unknown time.

use crate::codec::{DecodeError, Reader, Writer};

/// Evidence stops growing here: an alarm that is not resolved for months must not overflow.
const MOST: f64 = 1e15;

/// Where in the log an image is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub leaf: u64,
    /// Unix time in seconds.
    pub received_at_s: i64,
}

/// The recursions of a family of bets. `R = (R + 1) bet` has the expectation `n` after `n` images without a
/// change, so the mean of `R` over bets passes a threshold `A` no sooner than every `A` images on average.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track<const N: usize> {
    evidence: [f64; N],
    /// Page's CUSUM of the same bets, as a product: it restarts where a bet has gained nothing, which is
    /// where the change began, if there is one.
    product: [f64; N],
    began: [Place; N],
}

impl<const N: usize> Default for Track<N> {
    fn default() -> Self {
        Self { evidence: [0.0; N], product: [0.0; N], began: [Place::default(); N] }
    }
}

impl<const N: usize> Track<N> {
    pub(crate) fn add(&mut self, factors: &[f64; N], place: Place) {
        for (index, factor) in factors.iter().enumerate() {
            self.evidence[index] = ((self.evidence[index] + 1.0) * factor).min(MOST);
            if self.product[index] <= 1.0 {
                self.product[index] = 1.0;
                self.began[index] = place;
            }
            self.product[index] = (self.product[index] * factor).min(MOST);
        }
    }

    /// Mean over the bets.
    pub(crate) fn evidence(&self) -> f64 {
        self.evidence.iter().sum::<f64>() / N as f64
    }

    /// The largest evidence of a bet, and where its change began.
    pub(crate) fn winner(&self) -> (f64, Place) {
        let mut best = (self.evidence[0], self.began[0]);
        for (evidence, began) in self.evidence.iter().zip(self.began) {
            if *evidence > best.0 {
                best = (*evidence, began);
            }
        }
        best
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        for index in 0..N {
            writer.double(self.evidence[index]);
            writer.double(self.product[index]);
            self.began[index].encode(writer);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut track = Self::default();
        for index in 0..N {
            track.evidence[index] = positive(reader)?;
            track.product[index] = positive(reader)?;
            track.began[index] = Place::decode(reader)?;
        }
        Ok(track)
    }
}

fn positive(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    let value = reader.finite("evidence")?;
    if value >= 0.0 { Ok(value) } else { Err(reader.range("evidence")) }
}

impl Place {
    pub(crate) fn encode(self, writer: &mut Writer) {
        writer.n(self.leaf);
        writer.signed(self.received_at_s.into());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let leaf = reader.n(u64::MAX, "a leaf index")?;
        let time = i64::try_from(reader.signed()?).ok().filter(|s| is_time(*s));
        Ok(Self { leaf, received_at_s: time.ok_or_else(|| reader.range("a time"))? })
    }

    pub(crate) fn at(self) -> Option<time::OffsetDateTime> {
        time::OffsetDateTime::from_unix_timestamp(self.received_at_s).ok()
    }
}

fn is_time(unix_s: i64) -> bool {
    time::OffsetDateTime::from_unix_timestamp(unix_s).is_ok()
}
