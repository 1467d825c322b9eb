//! `cxr-service check-config`: finds everything that would make `serve` fail, with the same functions.

mod database;
mod local;

use crate::config::error::{Misconfiguration, Misconfigurations};
use crate::config::{Config, Sources};
use crate::stdout;
use crate::store::describe;
use std::process::ExitCode;

/// Options of `check-config`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Also log in to the database as each configured user, check its rights, and fetch the key sets.
    #[arg(long)]
    connect: bool,
}

/// Checks and prints. Files and servers are checked only if the values of the configuration are right.
#[tokio::main]
pub async fn run(sources: &Sources, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(sources)?;
    let (mut problems, verifiers) = local::keys(&config.auth);
    problems.extend(local::tls(&config.http));
    problems.extend(local::model(&config.model, &config.patients.stated()));
    problems.extend(local::outside(&config.audit).await);
    if args.connect {
        problems.extend(database::logins(&config.database).await);
        problems.extend(local::published(&verifiers).await);
    }
    if !problems.is_empty() {
        stdout::print_stderr(Misconfigurations(problems));
        return Ok(ExitCode::FAILURE);
    }
    for (key, value) in config.effective() {
        stdout::print(format_args!("{key} = {value}"));
    }
    stdout::print_stderr(
        "keys, TLS, anchor, list of erasures, bundle, library and execution provider are usable",
    );
    stdout::print_stderr(if args.connect {
        "every database user has the rights it needs and no more, and every key set was fetched"
    } else {
        "database and key sets not checked: check-config --connect tries them"
    });
    Ok(ExitCode::SUCCESS)
}

/// A problem caused by an error. If its text names a key itself, the more exact one is reported.
fn problem(key: &str, error: &(dyn std::error::Error + 'static), advice: &str) -> Misconfiguration {
    let text = describe(error);
    let named = text.strip_prefix("service.").and_then(|text| text.split_once(": "));
    match named.filter(|(own, _)| !own.contains(' ')) {
        Some((own, found)) if key.starts_with(own) => Misconfiguration::new(key, found, advice),
        Some((own, found)) => Misconfiguration::new(own, found, advice),
        None => Misconfiguration::new(key, &text, advice),
    }
}
