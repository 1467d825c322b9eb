//! The database's clock beside ours.

use super::session::Session;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// How far this process's clock is from the database's.
#[derive(Debug, Clone, Copy)]
pub struct ClockDifference {
    /// Seconds that this process's clock is ahead.
    pub ahead_s: f64,
    /// How much of that may be the way to the database.
    uncertain_s: f64,
}

impl ClockDifference {
    /// Whether it is certainly more than that.
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

pub(super) async fn difference(session: &mut Session) -> Result<ClockDifference, sqlx::Error> {
    let asked = (OffsetDateTime::now_utc(), Instant::now());
    let theirs: OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(session).await?;
    let way = asked.1.elapsed();
    let ours = asked.0 + way / 2;
    Ok(ClockDifference { ahead_s: (ours - theirs).as_seconds_f64(), uncertain_s: way.as_secs_f64() / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_in_words_and_the_way_is_left_out_of_it() {
        let difference = |ahead_s, uncertain_s| ClockDifference { ahead_s, uncertain_s };
        let told = difference(-400.0 * 86_400.0, 0.1).to_string();
        assert_eq!(told, "this process's clock is 400.0 days behind the database's");
        assert!(difference(31.0, 0.1).to_string().contains("31.0 s ahead of"));
        assert!(difference(31.0, 0.1).exceeds(Duration::from_secs(30)));
        assert!(difference(-31.0, 0.1).exceeds(Duration::from_secs(30)));
        assert!(!difference(31.0, 2.0).exceeds(Duration::from_secs(30)));
    }
}
