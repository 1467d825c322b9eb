//! The difference between this process's clock and the database's.

use super::{PROBE_TIMEOUT, StoreError, Writer};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

#[derive(Debug, Clone, Copy)]
pub struct ClockDifference {
    pub ahead_s: f64,
    /// Half of the round trip: the reading is uncertain by this much.
    uncertain_s: f64,
}

impl ClockDifference {
    /// Whether the difference is certainly larger than `most`.
    pub fn exceeds(&self, most: Duration) -> bool {
        self.ahead_s.abs() - self.uncertain_s > most.as_secs_f64()
    }
}

impl std::fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let direction = if self.ahead_s > 0.0 { "ahead of" } else { "behind" };
        let seconds = self.ahead_s.abs();
        let amount = match seconds {
            ..120.0 => format!("{seconds:.1} s"),
            ..7200.0 => format!("{:.0} minutes", seconds / 60.0),
            ..172_800.0 => format!("{:.1} hours", seconds / 3600.0),
            _ => format!("{:.1} days", seconds / 86_400.0),
        };
        write!(f, "this process's clock is {amount} {direction} the database's")
    }
}

const NOW: &str = "SELECT clock_timestamp()";

impl Writer {
    pub async fn clock_difference(&self) -> Result<ClockDifference, StoreError> {
        let measure = async |session: &mut super::Session| {
            let asked = (OffsetDateTime::now_utc(), Instant::now());
            let theirs: OffsetDateTime = sqlx::query_scalar(NOW).fetch_one(session).await?;
            let round_trip = asked.1.elapsed();
            let ours = asked.0 + round_trip / 2;
            let (ahead_s, uncertain_s) = ((ours - theirs).as_seconds_f64(), round_trip.as_secs_f64() / 2.0);
            Ok::<_, sqlx::Error>(ClockDifference { ahead_s, uncertain_s })
        };
        self.pool.run_within(PROBE_TIMEOUT, measure).await
    }

    /// The database's clock.
    pub async fn now(&self) -> Result<OffsetDateTime, StoreError> {
        self.pool.run(async |session| sqlx::query_scalar(NOW).fetch_one(session).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_in_a_fitting_unit_and_the_round_trip_does_not_count() {
        let difference = |ahead_s, uncertain_s| ClockDifference { ahead_s, uncertain_s };
        let shown = difference(-400.0 * 86_400.0, 0.1).to_string();
        assert_eq!(shown, "this process's clock is 400.0 days behind the database's");
        assert!(difference(31.0, 0.1).to_string().contains("31.0 s ahead of"));
        assert!(difference(31.0, 0.1).exceeds(Duration::from_secs(30)));
        assert!(difference(-31.0, 0.1).exceeds(Duration::from_secs(30)));
        assert!(!difference(31.0, 2.0).exceeds(Duration::from_secs(30)));
    }
}
