//! The service as a contestant: the development profile, with the changes of `--set`.

use super::run::Run;
use super::server::Server;
use crate::generator::{Target, forms};
use crate::program::{command, output};
use anyhow::Result;
use rig::Settings;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(super) const START_LIMIT: Duration = Duration::from_mins(1);

/// The peer has no limits and no deadline, so the service gets limits that no load of the benchmark reaches.
const UNBOUNDED: [(&str, &str); 3] = [
    ("limits.max_in_flight", "256"),
    ("limits.client_max_in_flight", "256"),
    ("limits.deadline_ms", "60000"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    Default,
    Wide,
}

/// A key under `service` and its value.
pub type Setting = (String, String);

/// Parses `key=value`, with or without `service.` before the key.
pub fn parse_setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.trim_start_matches("service.").to_owned(), value.to_owned()))
}

/// Starts it on its own database and waits until it is ready; also returns the milliseconds that this took.
pub(super) fn start(run: Run<'_>, limits: Limits) -> Result<(Server, f64)> {
    let Run { model, images, postgres, logs, .. } = run;
    let database = model.database(if limits == Limits::Default { "cxr_default" } else { "cxr" });
    let settings = settings(run, limits, &postgres.create(&database)?);
    output(&settings, &["migrate"])?;
    let token = token(&settings, "bench")?;

    let started = Instant::now();
    let (mut process, address) =
        rig::service::serve(command(&settings, &["serve"])?, &logs.join("service.log"), START_LIMIT)?;
    rig::service::wait_ready(&mut process, address, "/readyz", START_LIMIT)?;
    let ready_ms = started.elapsed().as_secs_f64() * 1e3;
    let target = Target::new(address, "/v1/predictions", &token, forms(&images.files))?;
    Ok((Server { process, target: Rc::new(target), postgres: postgres.id()? }, ready_ms))
}

/// The settings of a service that a benchmark measures: those of the user last.
pub(super) fn settings(Run { model, args, .. }: Run<'_>, limits: Limits, url: &str) -> Settings {
    let own = Settings::development(url)
        .set("model.bundle", &model.directory.display())
        .set("model.variant", &model.variant);
    let unbounded = UNBOUNDED.into_iter().filter(|_| limits == Limits::Wide);
    let asked = args.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    unbounded.chain(asked).fold(own, |all, (key, value)| all.set(key, &value))
}

pub(super) fn token(settings: &Settings, client: &str) -> Result<String> {
    output(settings, &["dev-token", "--subject", client, "--scope", "predict", "--ttl", "12h"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_start_with_the_section_name() {
        let expected = Ok(("model.sessions".to_owned(), "2".to_owned()));
        assert_eq!(parse_setting("service.model.sessions=2"), expected);
        assert_eq!(parse_setting("model.sessions=2"), expected);
        assert!(parse_setting("model.sessions").is_err());
    }
}
