//! `gpu-check`: the acceptance check of a GPU host. Trains, exports, serves and measures there, and writes
//! one report. `run` lists the steps in order; each step has a file of its own.

mod dataset;
mod hardware;
mod inputs;
mod journal;
mod load;
mod measure;
mod postgres;
mod program;
mod report;
mod serve;
mod server;
mod train;

pub use hardware::Hardware;
pub use journal::{Outcome, Step};
pub use load::{Load, Loads};
pub use report::Report;
pub use serve::{AbsentDevice, Proof};
pub use train::{Bench, Epoch, Evaluation, Export, Repetition, Training};

use crate::device::ProviderName;
use crate::terminal::print;
use anyhow::{Context, Result};
use clap::Args as Arguments;
use dataset::Subset;
use inputs::Host;
use journal::Journal;
use measure::Measured;
use serve::Served;
use std::path::PathBuf;
use std::process::ExitCode;
use train::Trainer;

/// Options of `cxr-loadtest gpu-check`.
#[derive(Debug, Arguments)]
#[command(
    after_help = "Example:\n  cxr-loadtest gpu-check --bin bin --libs lib:/opt/venv/lib/python3.12/site-packages/torch/lib --data kermany224 --out .\n\nscripts/gpu-check.sh calls this command; docs/GPU.md describes what it proves."
)]
pub struct Args {
    /// Device to accept: the GPU, or the CPU to try the check itself.
    #[arg(long, value_enum, default_value = "cuda")]
    device: ProviderName,
    /// GPU ordinal.
    #[arg(long, default_value_t = 0)]
    device_id: i32,
    /// Folders with cxr-trainer, cxr-service and cxr-loadtest, colon-separated.
    #[arg(long, value_delimiter = ':')]
    bin: Vec<PathBuf>,
    /// Folders with ONNX Runtime, its providers and libtorch, colon-separated. If none holds libtorch,
    /// python3's is used.
    #[arg(long, value_delimiter = ':')]
    libs: Vec<PathBuf>,
    /// Radiographs: train/NORMAL and train/PNEUMONIA. The test split is not read.
    #[arg(long)]
    data: PathBuf,
    /// Output folder for gpu-check.md, gpu-check.json and gpu-check.log.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Working folder for everything else.
    #[arg(long, default_value = "gpu-check-work")]
    work: PathBuf,
    /// Temporary folder for a private Postgres. Its path must be short, and the system user that runs
    /// Postgres must have access to it.
    #[arg(long, default_value = "/tmp/cxr-gpu-check-pg")]
    postgres: PathBuf,
    /// Repository, for config/, scripts/ and models/default.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Network to train and serve.
    #[arg(long, default_value = "mobilenetv2-expanded")]
    architecture: String,
    /// Pretrained weights (safetensors). Default: those beside the data, or random ones.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Epochs. Default: 3; on a CPU 1.
    #[arg(long)]
    epochs: Option<usize>,
    /// Most images per class, at least 24, or 0 for all. Default: all; on a CPU 150.
    #[arg(long)]
    images: Option<usize>,
    /// Training batch size. Default: 64; on a CPU 32.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Steps per block of the training benchmark. Default: 32; on a CPU 3.
    #[arg(long)]
    bench_steps: Option<usize>,
    /// Batch sizes for the chosen provider. A CPU is measured at 1 and 8.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
    batches: Vec<usize>,
    /// Numbers of clients, one round each.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,64")]
    clients: Vec<usize>,
    /// Seconds per measurement: a batch size, or a number of clients.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Python interpreter whose PyTorch, if it has one, is measured on the same device.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Time budget in seconds. A step without time left is reported as not run.
    #[arg(long, default_value_t = 570)]
    budget_seconds: u64,
}

/// Defaults by device: two cores train about 40 images per second, a GPU about 1,000.
impl Args {
    const fn by_device(&self, stated: Option<usize>, on_gpu: usize, on_cpu: usize) -> usize {
        match (stated, self.device) {
            (Some(stated), _) => stated,
            (None, ProviderName::Cuda) => on_gpu,
            (None, ProviderName::Cpu) => on_cpu,
        }
    }

    const fn images(&self) -> usize {
        self.by_device(self.images, 0, 150)
    }

    const fn batch_size(&self) -> usize {
        self.by_device(self.batch_size, 64, 32)
    }
}

/// Runs the check. The exit code is a failure if a step failed; the report is written in any case.
pub fn run(args: &Args) -> Result<ExitCode> {
    let host = Host::find(args)?;
    print(format_args!("{}", host.summary()));
    let mut journal = Journal::new(args.budget_seconds);
    let mut report = Report::new(args, &host);

    report.hardware = journal.step("hardware", 20, |limit| Hardware::read(&host, limit));
    let subset = Subset::link(&host, args.images())?;
    let trainer = Trainer::new(&host, args, &subset)?;
    report.training = journal.step("train", 200, |limit| trainer.train(limit));
    if report.training.is_some() {
        report.evaluation = journal.step("calibrate and evaluate", 120, |limit| trainer.evaluate(limit));
        report.export = journal.step("export with parity", 90, |limit| trainer.export(limit));
    } else {
        journal.not_run("calibrate and evaluate", "nothing was trained");
        journal.not_run("export with parity", "nothing was trained");
    }
    let bundle = match &report.export {
        Some(_) => host.work.join("bundle"),
        None => host.root.join("models/default"),
    };
    report.bundle = Some(bundle.clone());
    serve_and_load(&host, args, &subset, &bundle, &mut journal, &mut report);
    let measured = Measured { host: &host, args, bundle: &bundle };
    measured.all(&mut journal, &mut report);
    let bench_steps = args.by_device(args.bench_steps, 32, 3);
    report.bench = journal.step("benchmark training", 90, |limit| trainer.bench(bench_steps, limit));
    report.repetition = journal.step("repeat a training", 90, |limit| trainer.repeat(limit));

    report.finish(journal);
    report.write(&args.out).context("writing the report")?;
    print(format_args!("{}: {}", args.out.join("gpu-check.md").display(), report.verdict()));
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve_and_load(
    host: &Host,
    args: &Args,
    subset: &Subset,
    bundle: &std::path::Path,
    journal: &mut Journal,
    report: &mut Report,
) {
    let start = |limit| postgres::Database::start(host, &args.postgres, limit);
    let database = journal.step("start Postgres", 60, start);
    let settings = serve::Settings { host, args, bundle, database: database.as_ref() };
    let served = journal.step("serve and prove the provider", 60, |limit| Served::start(&settings, limit));
    match (&served, &database) {
        (Some(served), Some(_)) => {
            let (clients, files) = (&args.clients, &subset.files);
            let load = |limit| load::closed_loop(&served.server, clients, args.seconds, files, limit);
            report.load = journal.step("load through HTTP", 90, load);
        }
        (None, _) => journal.not_run("load through HTTP", "the service did not start"),
        (_, None) => journal.not_run("load through HTTP", "no database, and every answer needs an audit row"),
    }
    report.proof = served.map(|served| served.proof);
    let absent = |limit| serve::absent_device(&settings, limit);
    report.absent_device = journal.step("an absent device", 40, absent);
}
