//! Bets against "the rank is uniform". A bet is a number that is 1 on average without drift, at most, and
//! more than 1 under the drift that it is made for. Products of bets are evidence that is valid at any time.

use crate::baseline::ShareReference;

/// What a bet looks at, as a function of the rank with mean 0 over uniform ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `2 p - 1`: the values move up or down.
    Shift,
    /// `6 p^2 - 6 p + 1`: they spread, or draw together.
    Spread,
    /// `1 / sqrt(p)`, cut off at the lowest 64th and centred: values below nearly all of the baseline.
    Low,
    /// The same at the other end.
    High,
}

pub(crate) const N_FUNCTIONS: usize = 4;

impl Function {
    pub(crate) const ALL: [Self; N_FUNCTIONS] = [Self::Shift, Self::Spread, Self::Low, Self::High];

    /// Variance over uniform ranks.
    pub(crate) const fn variance(self) -> f64 {
        match self {
            Self::Shift => 1.0 / 3.0,
            Self::Spread => 0.2,
            // (1 + ln 64) / 4 / 0.9375^2 - 1
            Self::Low | Self::High => 0.467_41,
        }
    }
}

/// Values of the functions at a rank.
pub(crate) fn values(p: f64) -> [f64; N_FUNCTIONS] {
    const CUT: f64 = 1.0 / 64.0;
    // Mean of 0.5 / sqrt(max(p, CUT)).
    const MEAN: f64 = 0.9375;
    let tail = |p: f64| 0.5 / p.max(CUT).sqrt() / MEAN - 1.0;
    [2.0 * p - 1.0, 6.0 * p * (p - 1.0) + 1.0, tail(p), tail(1.0 - p)]
}

/// One bet: a function, a direction, and the share of the largest stake at which it stays positive. Small
/// stakes find small shifts, large ones find large shifts soon.
#[derive(Debug, Clone, Copy)]
struct Bet {
    function: usize,
    direction: f64,
    stake: f64,
}

pub(crate) const N_BETS: usize = 16;

const BETS: [Bet; N_BETS] = {
    const fn bet(function: Function, direction: f64, stake: f64) -> Bet {
        Bet { function: function as usize, direction, stake }
    }
    use Function::{High, Low, Shift, Spread};
    [
        bet(Shift, 1.0, 0.05),
        bet(Shift, 1.0, 0.15),
        bet(Shift, 1.0, 0.4),
        bet(Shift, 1.0, 0.9),
        bet(Shift, -1.0, 0.05),
        bet(Shift, -1.0, 0.15),
        bet(Shift, -1.0, 0.4),
        bet(Shift, -1.0, 0.9),
        bet(Low, 1.0, 0.1),
        bet(Low, 1.0, 0.4),
        bet(Low, 1.0, 0.9),
        bet(High, 1.0, 0.1),
        bet(High, 1.0, 0.4),
        bet(High, 1.0, 0.9),
        bet(Spread, 1.0, 0.5),
        bet(Spread, -1.0, 0.5),
    ]
};

/// The bets against one reference sample, as straight lines in the functions' values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stakes {
    base: [f64; N_BETS],
    slope: [f64; N_BETS],
}

impl Stakes {
    /// `tolerances` by function: a bet loses while the mean differs by less.
    pub(crate) fn new(tolerances: &[f64; N_FUNCTIONS]) -> Self {
        let mut stakes = Self { base: [1.0; N_BETS], slope: [0.0; N_BETS] };
        for (index, bet) in BETS.iter().enumerate() {
            let tolerance = tolerances[bet.function];
            // The most that the bet can lose, at a stake of 1.
            let least = match Function::ALL[bet.function] {
                Function::Shift => 1.0,
                Function::Spread => {
                    if bet.direction > 0.0 {
                        0.5
                    } else {
                        1.0
                    }
                }
                Function::Low | Function::High => 0.47,
            };
            let stake = bet.stake / (least + tolerance);
            stakes.base[index] = 1.0 - stake * tolerance;
            stakes.slope[index] = stake * bet.direction;
        }
        stakes
    }

    /// The bets' factors at a rank.
    pub(crate) fn factors(&self, values: &[f64; N_FUNCTIONS]) -> [f64; N_BETS] {
        std::array::from_fn(|index| self.base[index] + self.slope[index] * values[BETS[index].function])
    }
}

/// Factors of bets on the mean of values from 0 to 1, such as shares: against `mean - tolerance` or less, and
/// against `mean + tolerance` or more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShareBets {
    low: f64,
    high: f64,
}

pub(crate) const N_SHARE_BETS: usize = 8;

impl ShareBets {
    /// Against the days of a stratum.
    pub(crate) fn of(reference: &ShareReference, stratum: usize) -> Self {
        let (mean, tolerance) = reference.by_days[stratum / 4];
        Self::new(mean, tolerance)
    }

    fn new(mean: f64, tolerance: f64) -> Self {
        Self { low: (mean - tolerance).max(0.0), high: (mean + tolerance).min(1.0) }
    }

    /// `1 + stake (x - high) / high` and `1 + stake (low - x) / (1 - low)`: positive for stakes below 1.
    pub(crate) fn factors(self, x: f64) -> [f64; N_SHARE_BETS] {
        const STAKES: [f64; 4] = [0.05, 0.15, 0.4, 0.9];
        let ratio = |gain: f64, most: f64| if most > 0.0 { gain / most } else { 0.0 };
        let (up, down) = (ratio(x - self.high, self.high), ratio(self.low - x, 1.0 - self.low));
        std::array::from_fn(|index| {
            let stake = STAKES[index % 4];
            1.0 + stake * if index < 4 { up } else { down }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 200_000;

    fn ranks() -> impl Iterator<Item = f64> {
        (0..N).map(|i| (i as f64 + 0.5) / N as f64)
    }

    #[test]
    fn functions_have_mean_zero_and_their_stated_variance() {
        let (mut sums, mut squares) = ([0.0; N_FUNCTIONS], [0.0; N_FUNCTIONS]);
        for p in ranks() {
            for (index, value) in values(p).into_iter().enumerate() {
                sums[index] += value / N as f64;
                squares[index] += value * value / N as f64;
            }
        }
        for (index, function) in Function::ALL.into_iter().enumerate() {
            assert!(sums[index].abs() < 1e-6, "{function:?}: {}", sums[index]);
            assert!((squares[index] - function.variance()).abs() < 1e-4, "{function:?}: {}", squares[index]);
        }
    }

    #[test]
    fn bets_are_positive_and_at_most_one_on_average() {
        for tolerance in [0.0, 0.05, 0.5] {
            let stakes = Stakes::new(&[tolerance; N_FUNCTIONS]);
            let mut means = [0.0; N_BETS];
            for p in ranks().chain([0.0, 1.0]) {
                for (mean, factor) in means.iter_mut().zip(stakes.factors(&values(p))) {
                    assert!(factor > 0.0, "{p}");
                    *mean += factor / N as f64;
                }
            }
            assert!(means.iter().all(|mean| *mean <= 1.0 + 1e-4), "{means:?}");
        }
        for (mean, tolerance) in
            [(0.0, 0.01), (0.004, 0.01), (0.63, 0.05), (1.0, 0.02), (0.0, 0.0), (1.0, 0.0)]
        {
            let bets = ShareBets::new(mean, tolerance);
            let (hit, miss) = (bets.factors(1.0), bets.factors(0.0));
            for (hit, miss) in hit.iter().zip(miss) {
                assert!(*hit > 0.0 && miss > 0.0 && hit.is_finite());
                assert!(mean * hit + (1.0 - mean) * miss <= 1.0 + 1e-12);
            }
        }
    }
}
