//! `cxr-service monitor ...`: what operators ask monitoring and decide about it.

mod alarms;
mod baseline;
mod replay;
mod status;

use crate::config::Sources;
use crate::store::Reason;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::process::ExitCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Subcommands of `cxr-service monitor`.
#[derive(Subcommand)]
pub enum MonitorCommand {
    /// Print how far the log is read, the streams with their baselines, and open alarms.
    #[command(after_help = "Example: cxr-service monitor status")]
    Status,
    /// Propose a baseline from the site's own images, or approve one.
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Simulate the detectors on the site's own images: false alarms stated and measured, and delays. Stores
    /// nothing.
    #[command(
        after_help = "Example: cxr-service monitor simulate --from 2026-01-05T00:00:00Z --to 2026-03-02T00:00:00Z"
    )]
    Simulate(RangeArgs),
    /// Compute everything again from the log and compare it with what is stored.
    #[command(
        after_help = "Example: cxr-service monitor replay --from-leaf 0\n\nExit status: 0 if states, windows and alarms agree to the bit, 1 if one differs."
    )]
    Replay {
        /// First leaf. Only 0 until a state of an earlier leaf is stored.
        #[arg(long, default_value_t = 0)]
        from_leaf: u64,
    },
    /// List alarms, acknowledge or resolve one.
    #[command(subcommand)]
    Alarms(AlarmsCommand),
}

#[derive(Subcommand)]
pub enum BaselineCommand {
    /// Freeze images as a baseline, simulate it and store it. Nothing uses it until it is approved.
    #[command(
        after_help = "Example: cxr-service monitor baseline propose --from 2026-01-05T00:00:00Z --to 2026-03-02T00:00:00Z"
    )]
    Propose(RangeArgs),
    /// Approve a baseline: detectors compare every further image with it.
    #[command(
        after_help = "Example: cxr-service monitor baseline approve 019a2f66-7c1e-7b7b-a8e5-2f1c5b0f6d10 --reason \"eight weeks without findings, QA meeting of 2 March\""
    )]
    Approve {
        /// Id of the baseline, as propose and status print it.
        id: Uuid,
        /// Why these images are as they should be. Do not name patients.
        #[arg(long)]
        reason: String,
    },
    /// List the baselines, the newest first.
    #[command(after_help = "Example: cxr-service monitor baseline list")]
    List,
}

#[derive(Subcommand)]
pub enum AlarmsCommand {
    /// List alarms that are not resolved.
    #[command(after_help = "Example: cxr-service monitor alarms list --all")]
    List {
        /// With resolved ones.
        #[arg(long)]
        all: bool,
    },
    /// Acknowledge an alarm: it is not escalated. It keeps collecting evidence.
    #[command(
        after_help = "Example: cxr-service monitor alarms ack 019a2f66-7c1e-7b7b-a8e5-2f1c5b0f6d10 --reason \"called radiology\""
    )]
    Ack {
        /// Id of the alarm.
        id: Uuid,
        /// What is being done. Do not name patients.
        #[arg(long, default_value = "acknowledged on the command line")]
        reason: String,
    },
    /// Resolve an alarm after its cause was removed, and a baseline or model changed. Its detector starts
    /// anew.
    #[command(
        after_help = "Example: cxr-service monitor alarms resolve 019a2f66-7c1e-7b7b-a8e5-2f1c5b0f6d10 --reason \"new detector calibrated; baseline of 2 March approved\""
    )]
    Resolve {
        /// Id of the alarm.
        id: Uuid,
        /// The cause and what was changed. Do not name patients.
        #[arg(long)]
        reason: String,
    },
}

/// Which images.
#[derive(Debug, Args)]
pub struct RangeArgs {
    /// Number of a stream, as status prints it; repeat it for several. Default: every stream of all images.
    #[arg(long)]
    stream: Vec<u32>,
    /// Images received from this time on (RFC 3339). Default: the first one that exists.
    #[arg(long, value_parser = parse_moment)]
    from: Option<OffsetDateTime>,
    /// Images received before this time. Default: the last one that was read.
    #[arg(long, value_parser = parse_moment)]
    to: Option<OffsetDateTime>,
    /// Fewest images of a baseline; those of one patient and day count once.
    #[arg(long, default_value_t = 5000)]
    min_images: usize,
    /// Fewest whole weeks. With 0, quarters of the images stand in for weeks: for demonstrations.
    #[arg(long, default_value_t = 4)]
    min_weeks: u64,
    /// Simulated years.
    #[arg(long, default_value_t = 200)]
    years: usize,
}

pub fn run(command: MonitorCommand, sources: &Sources) -> anyhow::Result<ExitCode> {
    match command {
        MonitorCommand::Status => status::run(sources),
        MonitorCommand::Baseline(BaselineCommand::Propose(range)) => baseline::propose(sources, &range, true),
        MonitorCommand::Simulate(range) => baseline::propose(sources, &range, false),
        MonitorCommand::Baseline(BaselineCommand::Approve { id, reason }) => {
            baseline::approve(sources, id, &reason)
        }
        MonitorCommand::Baseline(BaselineCommand::List) => baseline::list(sources),
        MonitorCommand::Replay { from_leaf } => replay::run(sources, from_leaf),
        MonitorCommand::Alarms(command) => alarms::run(sources, command),
    }
}

fn parse_moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "use a time such as 2026-01-01T00:00:00Z".to_owned())
}

/// A time as the commands print it.
fn moment(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// A stream as the commands print it.
fn named(stream: &monitoring::stream::Stream) -> String {
    let model = stream.model.as_ref();
    let model = model.map_or("images".to_owned(), |model| format!("{} {}", model.version, model.variant));
    format!("{} {} {model}", stream.site, stream.slice)
}

fn reason(text: &str) -> anyhow::Result<Reason> {
    Reason::parse(text).with_context(|| format!("--reason: {}", Reason::RULE))
}
