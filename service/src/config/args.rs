//! Sources of the configuration: the arguments that every command takes, and the environment.

use super::{Profile, Sources};
use std::path::PathBuf;

/// Arguments that choose the configuration.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Selects the defaults and the safety rules.
    #[arg(long, global = true, value_enum, env = "CXR_PROFILE", default_value = "production")]
    pub profile: Profile,
    /// Folder whose <profile>.yaml overrides the built-in one.
    #[arg(long, global = true, value_name = "DIR", env = "CXR_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
}

impl ConfigArgs {
    pub fn sources(self) -> Sources {
        // Variables that are not Unicode are skipped: none of them can be a key.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources { profile: self.profile, directory: self.config_dir, environment }
    }
}
