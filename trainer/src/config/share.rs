//! Shares: numbers in [0, 1).

use anyhow::{Result, ensure};

/// Refuses a value outside [0, 1).
pub(super) fn fraction(key: &str, value: f64) -> Result<()> {
    ensure!((0.0..1.0).contains(&value), "trainer.{key}: {value} is not in [0, 1)");
    Ok(())
}
