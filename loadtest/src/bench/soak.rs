//! Soak: the service under saturating load for minutes, with its resident memory sampled in every window.

use super::server::Server;
use crate::generator::{Traffic, Window};
use crate::terminal::progress;
use anyhow::Result;
use serde::Serialize;

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Soak {
    pub(super) minutes: f64,
    pub(super) first_mb: f64,
    pub(super) last_mb: f64,
    pub(super) peak_mb: f64,
    /// Least-squares slope over the second half, where caches are full.
    pub(super) slope_mb_per_minute: f64,
}

/// Seconds per window; each window opens new connections.
const STEP_S: f64 = 5.0;

pub(super) async fn soak(server: &mut Server, clients: usize, minutes: f64) -> Result<Soak> {
    server.process.resume()?;
    let n = (minutes * 60.0 / STEP_S).ceil().max(2.0) as usize;
    let mut samples = Vec::with_capacity(n);
    for step in 0..n {
        let window = Window { warm_s: 0.0, seconds: STEP_S };
        let found = server.measure(Traffic::Closed { clients }, window).await?;
        samples.push((step as f64 * STEP_S / 60.0, found.resident_bytes as f64 / 1e6));
        if step % 12 == 0 {
            let (minute, mb) = samples[step];
            progress(format_args!("soak, minute {minute:.0}: {:.1}/s, {mb:.0} MB", found.rps()));
        }
    }
    server.process.pause()?;
    Ok(Soak {
        minutes,
        first_mb: samples[0].1,
        last_mb: samples[n - 1].1,
        peak_mb: samples.iter().map(|sample| sample.1).fold(0.0, f64::max),
        slope_mb_per_minute: slope(&samples[n / 2..]),
    })
}

/// The slope of the least-squares line; 0 for fewer than two points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_have_its_slope() {
        let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 3.0 - 2.0 * f64::from(x))).collect();
        assert!((slope(&line) + 2.0).abs() < 1e-12);
        assert!(slope(&line[..1]).abs() < 1e-12);
    }
}
