//! The command line: parses the arguments, loads the configuration and calls the library.

use anyhow::Context;
use clap::{Parser, Subcommand};
use cxr_service::app::Listeners;
use cxr_service::auth::mint;
use cxr_service::commands::audit::AuditCommand;
use cxr_service::commands::bundle::BundleCommand;
use cxr_service::commands::check::CheckArgs;
use cxr_service::commands::model_state::StateArgs;
use cxr_service::config::args::ConfigArgs;
use cxr_service::config::telemetry::{LogFormat, TelemetryConfig};
use cxr_service::config::{self, Config, Profile, Sources};
use cxr_service::http::REFUSAL_CODES;
use cxr_service::store::{Store, describe};
use cxr_service::telemetry::log_output::LogGuard;
use cxr_service::telemetry::logs;
use cxr_service::telemetry::metrics::Metrics;
use cxr_service::{App, commands, descriptors, http, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const SERVE_EXAMPLE: &str = "Example: CXR_SERVICE__DATABASE__URL=postgres://cxr@localhost/cxr cxr-service --profile development serve";

/// Classifies chest radiographs over HTTP: calibrated answers, each with an audit row.
#[derive(Parser)]
#[command(name = "cxr-service", version, after_help = SERVE_EXAMPLE)]
struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or SIGINT.
    #[command(after_help = SERVE_EXAMPLE)]
    Serve,
    /// Apply missing database migrations.
    #[command(
        after_help = "Example: CXR_SERVICE__DATABASE__URL=postgres://owner@localhost/cxr cxr-service migrate"
    )]
    Migrate,
    /// Manage the audit log: make its key, export it, verify an export without a database.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Inspect, verify and sign model bundles.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Take the model out of service, or back, on all replicas.
    #[command(
        after_help = "Example: cxr-service --config-dir /etc/cxr model-state advisory --reason \"scanner 2 sends borders\""
    )]
    ModelState(StateArgs),
    /// Print the OpenAPI specification.
    #[command(after_help = "Example: cxr-service openapi > openapi/openapi.json")]
    Openapi,
    /// Print the tables of docs/METRICS.md.
    #[command(hide = true, after_help = "Example: make metrics-page")]
    Metrics,
    /// Check configuration, keys, TLS, anchor, bundle and execution provider; print the effective values, or
    /// every problem.
    ///
    /// Run it as the service's user. The exit status is 1 if there are problems.
    #[command(after_help = "Example: cxr-service --config-dir /etc/cxr check-config --connect")]
    CheckConfig(CheckArgs),
    /// Make a token for trying the service (development profile only).
    #[command(
        after_help = "Example: cxr-service --profile development dev-token --subject me --scope \"predict audit:read\" --ttl 8h"
    )]
    DevToken {
        /// The actor: the sub claim of the token, as audit rows name it.
        #[arg(long)]
        subject: String,
        /// Scopes, space-separated.
        #[arg(long)]
        scope: String,
        /// Lifetime of the token: a number with s, m, h or d, such as 30m.
        #[arg(long, default_value = "1h", value_parser = parse_ttl)]
        ttl: Duration,
    },
}

/// Exit status that shells report for a program ended by SIGPIPE: 128 + 13.
const READER_GONE: u8 = 141;

fn main() -> ExitCode {
    let result = runtime::disable_telemetry().map_err(anyhow::Error::from).and_then(|()| run(Cli::parse()));
    match result {
        Ok(code) => code,
        Err(error) if stdout::ReaderGone::caused(&error) => ExitCode::from(READER_GONE),
        Err(error) => {
            stdout::print_final_error(format_args!("cxr-service: {}", describe(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let sources = cli.config.sources();
    match cli.command {
        Command::Serve => serve(Config::load(&sources)?),
        Command::Migrate => migrate(&sources),
        Command::Audit(command) => commands::audit::run(command, &sources),
        Command::Bundle(command) => commands::bundle::run(command),
        Command::CheckConfig(args) => commands::check::run(&sources, &args),
        Command::ModelState(args) => commands::model_state::run(&sources, &args),
        Command::DevToken { subject, scope, ttl } => {
            anyhow::ensure!(
                sources.profile == Profile::Development,
                "dev-token needs the development profile: add --profile development"
            );
            let auth = config::load_auth(&sources)?;
            stdout::print(mint::development_token(&auth, &subject, &scope, ttl)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Metrics => {
            stdout::print(Metrics::new(REFUSAL_CODES)?.tables());
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            stdout::print(http::document().to_pretty_json()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[tokio::main]
async fn serve(mut config: Config) -> anyhow::Result<ExitCode> {
    let _log = install_log(&config.telemetry)?;
    descriptors::fit(&mut config.http)?;
    let (bind, operations_bind) = (config.http.bind, config.http.operations_bind);
    let app = App::build(config)?;
    let clients = listen("service.http.bind", bind).await?;
    let operators = match operations_bind {
        Some(bind) => Some(listen("service.http.operations_bind", bind).await?),
        None => None,
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    if let Some(listener) = &operators {
        tracing::info!(address = %listener.local_addr()?, "listening (operations)");
    }
    tracing::info!(address = %clients.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
    };
    let drained = app.run(Listeners { clients, operators }, shutdown).await?;
    tracing::info!(drained, "stopped");
    Ok(ExitCode::SUCCESS)
}

fn install_log(config: &TelemetryConfig) -> anyhow::Result<LogGuard> {
    logs::install(&config.log_filter, config.log_format == LogFormat::Json)
}

async fn listen(key: &str, bind: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bind).await.with_context(|| format!("{key}: cannot bind {bind}"))
}

#[tokio::main]
async fn migrate(sources: &Sources) -> anyhow::Result<ExitCode> {
    let (database, telemetry) = config::load_database(sources)?;
    let _log = install_log(&telemetry)?;
    stdout::print(Store::new(&database)?.migrate().await?);
    Ok(ExitCode::SUCCESS)
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let advice = || "use a number with s, m, h or d, such as 30m".to_owned();
    let unit = text.chars().last().ok_or_else(advice)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(advice()),
    };
    let n: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| advice())?;
    n.checked_mul(seconds).map(Duration::from_secs).ok_or_else(advice)
}
