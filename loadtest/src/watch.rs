//! `watch`: monitoring on one machine, to look at. Two replicas on one Postgres, Prometheus and Alertmanager
//! with the files of `deploy`, traffic of real images that shifts on request, and a page with the dashboards.

mod baseline;
mod page;
mod replica;
mod shift;
mod stack;
mod traffic;

use crate::terminal;
use anyhow::{Context, Result};
use page::State;
use shift::Shift;
use stack::Stack;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cxr-loadtest watch --shift border --port 9900")]
pub struct Args {
    /// Shift of the traffic that begins by itself one minute after the baseline; the page has a button for
    /// each.
    #[arg(long, value_enum, default_value_t = Shift::None)]
    shift: Shift,
    /// Images a second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Images of the baseline. A site needs 5,000 and four weeks; a demonstration cannot wait for them.
    #[arg(long, default_value_t = 2000)]
    baseline: u64,
    /// Port of the page on 127.0.0.1; 0 for a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Seconds after which it ends by itself. Default: at Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
    /// Folder of uPlot, from `scripts/npm-install.sh watch`.
    #[arg(long)]
    uplot: PathBuf,
    /// Working folder: configurations and logs.
    #[arg(long, default_value = "target/watch")]
    out: PathBuf,
}

/// How long the traffic stays unchanged before `--shift` begins.
const BEFORE_SHIFT: Duration = Duration::from_mins(1);

#[tokio::main]
pub async fn run(args: &Args) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be made", args.out.display()))?;
    let page = page::Listener::bind(args.port).await?;
    progress("Postgres, two replicas, Prometheus and Alertmanager");
    let stack = Stack::start(&args.out)?;
    let state = Arc::new(State::new(&stack));
    progress(format_args!("the page: http://{}", page.address()));
    tokio::spawn(page.serve(Arc::clone(&state), args.uplot.join("node_modules/uplot/dist")));
    progress(format_args!("Prometheus: {}, Alertmanager: {}", state.prometheus, state.alertmanager));
    let script = async {
        let corpus = shift::Corpus::load(&state)?;
        let traffic = traffic::send(&stack.replicas, &corpus, &state, args.rate);
        let story = story(args, &stack, &state);
        tokio::try_join!(traffic, story, alerts(&stack, &state), traffic::probe(&stack.replicas))
            .map(|_: ((), (), (), ())| ())
    };
    let end = async {
        match args.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = script => ended?,
        () = end => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    progress("stopping");
    Ok(ExitCode::SUCCESS)
}

/// Waits for the images of the baseline, approves it, and begins the shift.
async fn story(args: &Args, stack: &Stack, state: &State) -> Result<()> {
    while state.n_answered() < args.baseline {
        state.set_phase(format!("{} of {} images for the baseline", state.n_answered(), args.baseline));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    state.set_phase("the baseline: simulation of false alarms".to_owned());
    progress("proposing and approving the baseline");
    baseline::approve(stack, args.baseline).await?;
    state.set_phase("the detectors are armed; choose a shift to see an alarm come".to_owned());
    progress("the detectors are armed");
    if args.shift != Shift::None {
        tokio::time::sleep(BEFORE_SHIFT).await;
        progress(format_args!("the traffic shifts: {}", args.shift.name()));
        state.shift_to(args.shift);
    }
    std::future::pending().await
}

/// Passes on what Alertmanager sends to its receivers.
async fn alerts(stack: &Stack, state: &State) -> Result<()> {
    loop {
        for line in state.notify(&stack.alerting.notifications()) {
            progress(line);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn progress(line: impl std::fmt::Display) {
    terminal::note("watch", line);
}
