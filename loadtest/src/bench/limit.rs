//! The limit of the host: decodes, preprocesses and runs ONNX Runtime without HTTP and database.
//!
//! A process of its own, `cxr-loadtest limit`, reads one order per line and answers each with one line.

mod work;

pub(super) use work::pack;
pub use work::serve;

use super::model::Model;
use crate::generator::{Cpu, Measurement, Traffic, Window};
use crate::terminal::progress;
use anyhow::{Context, Result, bail};
use rig::Process;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command};
use std::str::FromStr;

/// Clients of the load that compares cells: more than the largest batch times the sessions of a small host.
const SWEEP_CLIENTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Sessions; the thread of each also decodes.
    pub sessions: usize,
    pub intra_threads: usize,
    pub spinning: bool,
    pub batch: usize,
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [sessions, intra_threads, batch] = super::three_numbers(text)
            .ok_or_else(|| format!("{text:?} is not SESSIONS,THREADS,BATCH, such as 2,1,1"))?;
        Ok(Self { sessions, intra_threads, spinning: false, batch })
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { sessions, intra_threads, spinning, batch } = self;
        let spinning = if *spinning { ", spinning" } else { "" };
        write!(f, "{sessions} sessions x {intra_threads} threads{spinning}, batch {batch}")
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Prepare(Cell),
    Run { traffic: Traffic, window: Window },
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Prepared,
    Ran { latencies_us: Vec<u64>, cpu: Cpu, resident_bytes: u64 },
    Failed(String),
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct LimitCell {
    pub(super) cell: Cell,
    pub(super) rps: f64,
    /// Median time of a single image on the idle process.
    pub(super) single_p50_ms: f64,
}

/// Arguments of `cxr-loadtest limit`.
#[derive(Debug, clap::Args)]
pub struct LimitArgs {
    /// The bundle.
    #[arg(long)]
    pub(super) bundle: PathBuf,
    /// Its variant.
    #[arg(long)]
    pub(super) variant: String,
    /// The file with the images' bytes.
    #[arg(long)]
    pub(super) images: PathBuf,
}

#[derive(Debug)]
pub(super) struct Limit {
    process: Process,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Limit {
    /// Starts it; `images` is the file that [`pack`] wrote.
    pub(super) fn start(model: &Model, images: &Path, logs: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("this program's own path")?);
        command.arg("limit").arg("--bundle").arg(&model.directory).arg("--variant").arg(&model.variant);
        command.arg("--images").arg(images);
        let mut process = Process::start_piped(command, &logs.join("limit.log"))?;
        let (orders, replies) = (process.child().stdin.take(), process.child().stdout.take());
        let (orders, replies) = (orders.context("piped")?, replies.context("piped")?);
        Ok(Self { process, orders, replies: BufReader::new(replies) })
    }

    fn order(&mut self, order: &Order) -> Result<Reply> {
        serde_json::to_writer(&mut self.orders, order)?;
        self.orders.write_all(b"\n")?;
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            self.process.check_alive()?;
            bail!("the limit ended: {}", self.process.last_lines());
        }
        match serde_json::from_str(&line)? {
            Reply::Failed(why) => bail!("the limit: {why}"),
            reply => Ok(reply),
        }
    }

    pub(super) fn prepare(&mut self, cell: Cell) -> Result<()> {
        self.order(&Order::Prepare(cell)).map(drop)
    }

    pub(super) fn measure(&mut self, traffic: Traffic, window: Window) -> Result<Measurement> {
        match self.order(&Order::Run { traffic, window })? {
            Reply::Ran { latencies_us, cpu, resident_bytes } => {
                Ok(Measurement { latencies_us, cpu, resident_bytes, ..Measurement::new(window.seconds) })
            }
            _ => bail!("the limit sent an unexpected answer"),
        }
    }

    /// Tries the cells for this host, then batch sizes in the best one. Returns them with the best first.
    pub(super) fn sweep(&mut self, seconds: f64) -> Result<Vec<LimitCell>> {
        let cells = cells(std::thread::available_parallelism()?.get());
        let mut found =
            cells.into_iter().map(|cell| self.try_cell(cell, seconds)).collect::<Result<Vec<_>>>()?;
        found.sort_by(|a, b| b.rps.total_cmp(&a.rps));
        let best = found[0].cell;
        for batch in [2, 4, 8] {
            found.push(self.try_cell(Cell { batch, ..best }, seconds)?);
        }
        found.sort_by(|a, b| b.rps.total_cmp(&a.rps));
        Ok(found)
    }

    pub(super) fn try_cell(&mut self, cell: Cell, seconds: f64) -> Result<LimitCell> {
        self.prepare(cell)?;
        let window = Window { warm_s: 0.5, seconds };
        let rps = self.measure(Traffic::Closed { clients: SWEEP_CLIENTS }, window)?.rps();
        let window = Window { warm_s: 0.1, seconds: seconds / 2.0 };
        let single_p50_ms = self.measure(Traffic::Closed { clients: 1 }, window)?.percentile_ms(50.0);
        progress(format_args!("limit, {cell}: {rps:.1} images/s, a single image {single_p50_ms:.2} ms"));
        Ok(LimitCell { cell, rps, single_p50_ms })
    }
}

/// Cells in which sessions times threads equal the cores, with batches of one.
fn cells(cores: usize) -> Vec<Cell> {
    let threads = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n <= cores);
    let cells = threads.flat_map(|intra_threads| {
        [false, true].map(|spinning| Cell {
            sessions: cores / intra_threads,
            intra_threads,
            spinning,
            batch: 1,
        })
    });
    cells.filter(|cell| cell.intra_threads > 1 || !cell.spinning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_use_all_cores_and_one_thread_never_spins() {
        let found: Vec<(usize, usize, bool)> =
            cells(4).iter().map(|c| (c.sessions, c.intra_threads, c.spinning)).collect();
        assert_eq!(found, [(4, 1, false), (2, 2, false), (2, 2, true), (1, 4, false), (1, 4, true)]);
        assert_eq!(cells(1).len(), 1);
        let shown = "2,1,4".parse::<Cell>().map(|cell| cell.to_string());
        assert_eq!(shown, Ok("2 sessions x 1 threads, batch 4".into()));
        assert!("2,1".parse::<Cell>().is_err() && "2,0,1".parse::<Cell>().is_err());
    }
}
