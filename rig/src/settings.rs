//! The configuration of one `cxr-service` process, as environment variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::Path;
use std::process::Command;

/// Environment variables of a service. Configuration in the caller's environment is not passed on.
#[derive(Debug, Clone)]
pub struct Settings(BTreeMap<OsString, OsString>);

impl Settings {
    /// The development profile on a database, on a free port of 127.0.0.1, with a JSON log.
    pub fn development(database_url: &str) -> Self {
        Self::profile("development").set("database.url", &database_url).set("telemetry.log_format", &"json")
    }

    /// The production profile with a configuration folder, on a free port of 127.0.0.1.
    pub fn production(config: &Path) -> Self {
        Self::profile("production").variable("CXR_CONFIG_DIR", config)
    }

    fn profile(name: &str) -> Self {
        Self(BTreeMap::new()).variable("CXR_PROFILE", name).set("http.bind", &"127.0.0.1:0")
    }

    #[must_use]
    pub fn set(self, key: &str, value: &dyn Display) -> Self {
        self.variable(&variable(key), value.to_string())
    }

    /// Leaves `service.<key>` to its default.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        self.0.remove(OsStr::new(&variable(key)));
        self
    }

    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.insert(name.into(), value.as_ref().to_owned());
        self
    }

    pub fn apply(&self, command: &mut Command) {
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("CXR_SERVICE__") || name == "CXR_PROFILE" || name == "CXR_CONFIG_DIR" {
                command.env_remove(name);
            }
        }
        command.envs(&self.0);
    }
}

fn variable(key: &str) -> String {
    format!("CXR_SERVICE__{}", key.replace('.', "__").to_uppercase())
}
