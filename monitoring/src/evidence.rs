//! Shiryaev-Roberts evidence of several bets against one null hypothesis, kept to the bit.
//!
//! Every bet multiplies its statistic by an e-value: a number that is at least 0 and at most 1 on average while
//! the null hypothesis holds. Then the mean of the statistics grows by at most one an observation on average, so
//! that the expected number of observations until a false alarm is at least the threshold.

/// Largest statistic, so that none becomes infinite.
const CAP: f64 = 1e100;

/// Statistics of the bets, and when their mean reached the threshold. An alarm stays until the evidence is
/// replaced, with the baseline or the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    bets: Vec<f64>,
    threshold: f64,
    n: u64,
    alarm_at: Option<u64>,
}

impl Evidence {
    pub fn new(n_bets: usize, threshold: f64) -> Self {
        Self { bets: vec![0.0; n_bets], threshold, n: 0, alarm_at: None }
    }

    /// Multiplies by one e-value for each bet.
    pub fn multiply(&mut self, e_value: impl Fn(usize) -> f64) {
        for (i, bet) in self.bets.iter_mut().enumerate() {
            let next = (*bet + 1.0) * e_value(i);
            *bet = if next < CAP { next } else { CAP };
        }
        self.n += 1;
        if self.alarm_at.is_none() && self.value() >= self.threshold {
            self.alarm_at = Some(self.n);
        }
    }

    pub fn value(&self) -> f64 {
        self.bets.iter().sum::<f64>() / self.bets.len() as f64
    }

    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    pub const fn n(&self) -> u64 {
        self.n
    }

    pub const fn is_in_alarm(&self) -> bool {
        self.alarm_at.is_some()
    }

    /// Number of the observation that raised the alarm, from 1.
    pub const fn alarm_at(&self) -> Option<u64> {
        self.alarm_at
    }

    /// Count, number of the alarm (0 without one) and the statistics, 8 bytes each, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let counts = [self.n, self.alarm_at.unwrap_or(0)].map(u64::to_le_bytes);
        let statistics = self.bets.iter().map(|bet| bet.to_bits().to_le_bytes());
        counts.into_iter().chain(statistics).flatten().collect()
    }

    /// `None` for bytes that [`Evidence::encode`] does not give for this number of bets.
    pub fn decode(n_bets: usize, threshold: f64, bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || words.len() != n_bets + 2 {
            return None;
        }
        let (n, alarm_at) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
        let bets: Vec<f64> =
            words[2..].iter().map(|word| f64::from_bits(u64::from_le_bytes(*word))).collect();
        let is_valid = alarm_at <= n && bets.iter().all(|bet| (0.0..=CAP).contains(bet));
        is_valid.then_some(Self { bets, threshold, n, alarm_at: (alarm_at > 0).then_some(alarm_at) })
    }
}
