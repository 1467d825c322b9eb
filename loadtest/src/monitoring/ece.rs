//! `monitoring ece-coverage`: how often intervals of the expected calibration error contain the truth.

mod methods;
mod population;

use crate::terminal::{print, progress};
use anyhow::{Context, Result, ensure};
use clap::Args as Arguments;
use cxr::analysis::scoring::proportion::Proportion;
use cxr::reference::Reference;
use methods::{METHODS, Method};
use population::{Case, Population, Sample};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `cxr-loadtest monitoring ece-coverage`.
#[derive(Debug, Arguments)]
#[command(after_help = "Example:\n  cxr-loadtest monitoring ece-coverage --repetitions 1000 > ece.md")]
pub struct Args {
    /// Samples drawn for each row of the table.
    #[arg(long, default_value_t = 1000)]
    repetitions: usize,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Images of a sample; repeat the option for several sizes.
    #[arg(long = "images", default_values_t = [300, 1000, 5000])]
    sizes: Vec<usize>,
    /// Resamples of the percentile bootstrap; 0 leaves it out.
    #[arg(long, default_value_t = 200)]
    resamples: usize,
    /// reference.json whose probabilities are drawn.
    #[arg(long, default_value = "models/default/reference.json")]
    reference: PathBuf,
}

/// Results of one method on the samples of one case and size.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    n: usize,
    n_covered: usize,
    /// Samples whose interval does not contain the value shown beside it.
    n_without_value: usize,
    width: f64,
    truth: f64,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        args.repetitions > 0 && args.sizes.iter().all(|n| *n >= 2),
        "needs repetitions, and at least 2 images"
    );
    let text =
        std::fs::read(&args.reference).with_context(|| format!("reads {}", args.reference.display()))?;
    let reference: Reference =
        serde_json::from_slice(&text).with_context(|| format!("reads {}", args.reference.display()))?;
    print(
        "| case | images | interval | coverage, % | its 95 % interval | value outside, % | mean width | mean truth |",
    );
    print("|---|---|---|---|---|---|---|---|");
    for case in Case::ALL {
        let population = Population::new(&reference.probability.0, case)?;
        for n in &args.sizes {
            progress(format_args!("{}, {n} images: {} repetitions", case.name(), args.repetitions));
            for (method, tally) in METHODS.iter().zip(simulate(&population, *n, args)) {
                if tally.n > 0 {
                    print(row(case, *n, *method, tally));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(case: Case, n_images: usize, method: Method, tally: Tally) -> String {
    let covered = Proportion::new(tally.n_covered, tally.n);
    let [low, high] = covered.ci95.map(|share| 100.0 * share);
    let mean = |sum: f64| sum / tally.n as f64;
    format!(
        "| {} | {n_images} | {} | {:.1} | {low:.1} to {high:.1} | {:.1} | {:.4} | {:.4} |",
        case.name(),
        method.name(),
        100.0 * covered.value,
        100.0 * mean(tally.n_without_value as f64),
        mean(tally.width),
        mean(tally.truth)
    )
}

/// A tally of each method, over the same samples.
fn simulate(population: &Population, n: usize, args: &Args) -> [Tally; METHODS.len()] {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = |thread: usize| {
        let mut tallies = [Tally::default(); METHODS.len()];
        for repetition in (thread..args.repetitions).step_by(n_threads) {
            // A stream for each repetition: the number of threads does not change the result.
            let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
            rng.set_stream(repetition as u64);
            let sample = population.draw(n, &mut rng);
            for (method, tally) in METHODS.iter().zip(&mut tallies) {
                tally.add(*method, &sample, population, args.resamples);
            }
        }
        tallies
    };
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|thread| scope.spawn(move || part(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let mut all = [Tally::default(); METHODS.len()];
    for part in parts {
        for (sum, tally) in all.iter_mut().zip(part) {
            sum.n += tally.n;
            sum.n_covered += tally.n_covered;
            sum.n_without_value += tally.n_without_value;
            sum.width += tally.width;
            sum.truth += tally.truth;
        }
    }
    all
}

impl Tally {
    /// A sample for which a method gives no interval counts as not covered.
    fn add(&mut self, method: Method, sample: &Sample, population: &Population, resamples: usize) {
        if method == Method::Percentile && resamples == 0 {
            return;
        }
        self.n += 1;
        let Some(found) = method.interval(sample, population, resamples) else { return };
        let [low, high] = found.ci95;
        self.n_covered += usize::from((low..=high).contains(&found.truth));
        self.n_without_value += usize::from(!(low..=high).contains(&found.value));
        self.width += high - low;
        self.truth += found.truth;
    }
}
