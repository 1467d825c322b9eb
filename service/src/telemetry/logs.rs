//! The log: its destination, its format, and what it may hold of a panic.

use super::log_output::{self, LogGuard};
use std::error::Error;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error and panics to the log, until the guard is dropped. Call once, from `main`.
pub fn install(filter: &str, json: bool) -> anyhow::Result<LogGuard> {
    let filter = EnvFilter::try_new(filter)?;
    let colours = std::io::stderr().is_terminal();
    let (lines, guard) = log_output::open()?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(lines)
        // On a write error the subscriber calls `eprintln!`, which panics if that fails as well.
        .log_internal_errors(false);
    let installed = if json {
        builder.json().flatten_event(true).with_span_list(false).try_init()
    } else {
        builder.try_init()
    };
    installed.map_err(|error| anyhow::anyhow!(error))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// Joins an error and its causes, for one field of a log line.
pub fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A formatted panic message may quote a request; a literal one cannot.
fn log_panic(info: &PanicHookInfo<'_>) {
    let panic = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("message withheld");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, panic, "panic");
}
