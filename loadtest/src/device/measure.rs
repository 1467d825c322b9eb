//! Speed: repeated runs of one batch size. Both modes alternate, because the speed of a machine drifts.

use super::Loaded;
use anyhow::Result;
use cxr::reference::quantile;
use runtime::Session;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};

const N_TURNS: u32 = 5;
/// Untimed runs first, because GPU libraries try algorithms for each new batch size.
const N_WARM_UP: usize = 3;
const MIN_RUNS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Service,
    /// Pageable input, outputs allocated by ONNX Runtime, nothing reused.
    Bare,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub runs: usize,
    /// Images over the time of all runs.
    pub images_per_second: f64,
    pub p50_ms: f64,
    /// 99th percentile; with fewer than 100 runs it is close to the maximum.
    pub p99_ms: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub batch: usize,
    pub service: Figures,
    pub bare: Figures,
}

impl Cell {
    pub fn ratio(&self) -> f64 {
        self.service.images_per_second / self.bare.images_per_second
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |figures: &Figures| {
            format!(
                "{:.1} images/s, p50 {:.2} ms, p99 {:.2} ms, {} runs",
                figures.images_per_second, figures.p50_ms, figures.p99_ms, figures.runs
            )
        };
        let (service, bare) = (of(&self.service), of(&self.bare));
        write!(f, "batch {:>3}: {service}; bare {bare}; ratio {:.3}", self.batch, self.ratio())
    }
}

/// Measures one batch size for `seconds` in each mode.
pub(super) fn cell(loaded: &mut Loaded, images: &[u8], batch: usize, seconds: f64) -> Result<Cell> {
    let pixels = &images[..batch * loaded.image_bytes];
    for session in [&mut loaded.service, &mut loaded.bare] {
        for _ in 0..N_WARM_UP {
            session.run(pixels, batch)?;
        }
    }
    let turn = Duration::from_secs_f64(seconds) / N_TURNS;
    let (mut service, mut bare) = (Vec::new(), Vec::new());
    let mut turns = [(&mut loaded.service, &mut service), (&mut loaded.bare, &mut bare)];
    for _ in 0..N_TURNS {
        for (session, times_ms) in &mut turns {
            runs(session, pixels, batch, turn, times_ms)?;
        }
        turns.reverse();
    }
    Ok(Cell { batch, service: figures(service, batch), bare: figures(bare, batch) })
}

fn runs(
    session: &mut Session,
    pixels: &[u8],
    batch: usize,
    turn: Duration,
    times_ms: &mut Vec<f64>,
) -> Result<()> {
    let (started, before) = (Instant::now(), times_ms.len());
    while started.elapsed() < turn || times_ms.len() < before + MIN_RUNS {
        let run = Instant::now();
        session.run(pixels, batch)?;
        times_ms.push(run.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn figures(mut times_ms: Vec<f64>, batch: usize) -> Figures {
    times_ms.sort_by(f64::total_cmp);
    Figures {
        runs: times_ms.len(),
        images_per_second: (times_ms.len() * batch) as f64 / times_ms.iter().sum::<f64>() * 1e3,
        p50_ms: quantile(&times_ms, 0.5),
        p99_ms: quantile(&times_ms, 0.99),
    }
}
