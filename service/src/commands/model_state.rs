//! `cxr-service model-state`: takes the model out of service, or back, as `POST /v1/model/state` does.

use crate::config::model::ModelState;
use crate::config::{self, Sources};
use crate::stdout;
use crate::store::{Operator, Reason, Store};
use anyhow::Context;
use std::process::ExitCode;

/// Options of `model-state`.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// `advisory`: every image is referred. `serving`: the model answers.
    #[arg(value_parser = parse_state)]
    state: ModelState,
    /// Why, in one line. It is kept for ever: write nothing about a patient.
    #[arg(long)]
    reason: String,
}

fn parse_state(text: &str) -> Result<ModelState, String> {
    let state = ModelState::ALL.into_iter().find(|state| state.name() == text);
    state.ok_or_else(|| "use serving or advisory".to_owned())
}

/// Commits the state and its line in the operations log.
#[tokio::main]
pub async fn run(sources: &Sources, args: &StateArgs) -> anyhow::Result<ExitCode> {
    let reason = Reason::parse(&args.reason).with_context(|| format!("--reason: {}", Reason::RULE))?;
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    let stored = store.annotations.set_model_state(args.state, &reason, &Operator::command()).await?;
    store.close().await;
    stdout::print(format_args!("model state: {}; every replica follows within 5 s", stored.state.name()));
    Ok(ExitCode::SUCCESS)
}
