//! Speed and memory of training, and the cost of the data path: full steps against bare steps, in alternating
//! blocks because a machine's speed drifts.

mod memory;
mod synthetic;
mod throughput;

pub use memory::Memory;
pub use throughput::{Round, Throughput};

use crate::config::Config;
use crate::files::write_json;
use crate::model::{Architecture, Precision};
use crate::progress::say;
use crate::run::RunDirectory;
use crate::run::device;
use crate::run::environment::Environment;
use crate::train::checkpoint::{Progress, State};
use crate::train::loss::WeightedLoss;
use crate::train::{initial_state, train_step};
use anyhow::{Result, ensure};
use cxr::reference::quantile;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

const FILE: &str = "bench.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// A round is a block of full steps and a block of bare steps.
    pub rounds: usize,
    pub steps: usize,
    /// Images in the generated folder on which memory is measured; 0 for no measurement.
    pub memory_images: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingBenchmark {
    pub environment: Environment,
    /// `cpu` or `cuda:N`.
    pub device: String,
    pub architecture: Architecture,
    pub precision: Precision,
    pub batch_size: usize,
    /// Width and height, in pixels.
    pub size: (u32, u32),
    pub throughput: Throughput,
    /// `None` if not requested, or if the system does not report the peak.
    pub memory: Option<Memory>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub median: f64,
    pub quartiles: [f64; 2],
    pub range: [f64; 2],
}

impl Spread {
    /// Panics without measurements.
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

pub fn measure_training(
    config: &Config,
    run: &RunDirectory,
    device: Device,
    plan: &Plan,
) -> Result<TrainingBenchmark> {
    ensure!(plan.rounds > 0 && plan.steps > 0, "--rounds and --steps must be at least 1");
    // Memory comes first, because the peak of a process never falls.
    let mut stepper = Stepper::new(config, device)?;
    let memory = if plan.memory_images > 0 { memory::measure(&mut stepper, plan)? } else { None };
    let throughput = throughput::measure(&mut stepper, run, plan)?;
    let benchmark = TrainingBenchmark {
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
    write_json(&run.file(FILE), &benchmark)?;
    say(format!("{}", run.file(FILE).display()));
    Ok(benchmark)
}

struct Stepper<'a> {
    config: &'a Config,
    device: Device,
    state: State,
    criterion: WeightedLoss,
    step: usize,
}

impl<'a> Stepper<'a> {
    fn new(config: &'a Config, device: Device) -> Result<Self> {
        device::set_deterministic(config.training.deterministic, device)?;
        let state = initial_state(config, Progress::default(), 0, device)?;
        let criterion = WeightedLoss::new(&[false, true], config.training.loss);
        Ok(Self { config, device, state, criterion, step: 0 })
    }

    /// Reading the loss waits for a GPU, so the step has ended when this returns.
    fn step(&mut self, images: &Tensor, labels: &Tensor) -> Result<()> {
        // A huge total keeps the scheduled learning rate in its warm-up.
        let n_steps = usize::MAX >> 16;
        let batch = (images, labels);
        let (loss, _) =
            train_step(self.config, &self.criterion, &mut self.state, batch, (self.step, n_steps));
        ensure!(loss.is_finite(), "the loss is {loss} at step {}", self.step);
        self.step += 1;
        Ok(())
    }
}
