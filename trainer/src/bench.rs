//! Bench: how fast training is, what the data path costs beside the bare step, and how much memory it takes. What is
//! compared is interleaved, because a machine's speed drifts.

mod memory;
mod synthetic;
mod throughput;

pub use memory::Memory;
pub use throughput::{Round, Throughput};

use crate::config::Config;
use crate::files::{read_json, write_json};
use crate::model::{Architecture, Precision};
use crate::progress::say;
use crate::run::RunDirectory;
use crate::run::device;
use crate::run::environment::Environment;
use crate::train::checkpoint::{Progress, State};
use crate::train::loss::WeightedLoss;
use crate::train::{initial_state, make_step};
use anyhow::{Result, ensure};
use cxr::analysis::scoring::bootstrap::quantile;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// The file in the run directory.
const FILE: &str = "bench.json";

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Rounds, each of a block of full steps and a block of bare steps.
    pub rounds: usize,
    /// Steps a block.
    pub steps: usize,
    /// Images of the generated folder on which memory is measured; 0 leaves memory out.
    pub memory_images: usize,
}

/// `bench.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// Machine, threads, libraries.
    pub environment: Environment,
    /// What computed: `cpu` or `cuda:N`.
    pub device: String,
    /// The network.
    pub architecture: Architecture,
    /// Precision of its convolutions.
    pub precision: Precision,
    /// Images a step.
    pub batch_size: usize,
    /// Width and height.
    pub size: (u32, u32),
    /// Speed.
    pub throughput: Throughput,
    /// Memory; none where it was left out or the system does not tell.
    pub memory: Option<Memory>,
}

impl Bench {
    /// What is on file.
    ///
    /// # Errors
    /// When the file is of another kind.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        read_json(&run.file(FILE))
    }
}

/// Median and spread of repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half of the measurements are below.
    pub median: f64,
    /// First and third quartile.
    pub quartiles: [f64; 2],
    /// Least and largest.
    pub range: [f64; 2],
}

impl Spread {
    /// Of at least one measurement.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |q| quantile(&values, q);
        Self { median: at(0.5), quartiles: [at(0.25), at(0.75)], range: [at(0.0), at(1.0)] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (digits, [low, high]) = (if self.median < 10.0 { 3 } else { 1 }, self.quartiles);
        write!(f, "{:.digits$} (quartiles {low:.digits$} to {high:.digits$})", self.median)
    }
}

/// Measures and writes `bench.json`.
///
/// # Errors
/// When the data cannot be used or a file cannot be written.
pub fn bench(config: &Config, run: &RunDirectory, device: Device, plan: &Plan) -> Result<Bench> {
    ensure!(plan.rounds > 0 && plan.steps > 0, "at least one round of one step");
    // First, while this process has been nothing yet: a peak never falls.
    let mut stepper = Stepper::new(config, device)?;
    let memory = if plan.memory_images > 0 { memory::measure(&mut stepper, plan)? } else { None };
    let throughput = throughput::measure(&mut stepper, run, plan)?;
    let bench = Bench {
        environment: Environment::current()?,
        device: match device {
            Device::Cuda(number) => format!("cuda:{number}"),
            _ => "cpu".to_owned(),
        },
        architecture: config.model.architecture,
        precision: config.training.precision,
        batch_size: config.training.batch_size,
        size: (config.preprocess.width, config.preprocess.height),
        throughput,
        memory,
    };
    write_json(&run.file(FILE), &bench)?;
    say(format!("{}", run.file(FILE).display()));
    Ok(bench)
}

/// A network in training and where it stands; what it learns does not matter here.
struct Stepper<'a> {
    config: &'a Config,
    device: Device,
    state: State,
    criterion: WeightedLoss,
    step: usize,
}

impl<'a> Stepper<'a> {
    fn new(config: &'a Config, device: Device) -> Result<Self> {
        device::repeat_results(config.training.deterministic, device)?;
        let state = initial_state(config, Progress::default(), 0, device)?;
        let criterion = WeightedLoss::new(&[false, true], config.training.loss);
        Ok(Self { config, device, state, criterion, step: 0 })
    }

    /// One step; it has ended when this returns, on a GPU too, since the loss is read back.
    fn step(&mut self, images: &Tensor, labels: &Tensor) -> Result<()> {
        // The schedule is that of a training without end, so that the learning rate stays small.
        let n_steps = usize::MAX >> 16;
        let batch = (images, labels);
        let (loss, _) = make_step(self.config, &self.criterion, &mut self.state, batch, (self.step, n_steps));
        ensure!(loss.is_finite(), "the loss is {loss} at step {}", self.step);
        self.step += 1;
        Ok(())
    }
}
