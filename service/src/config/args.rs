//! Where the configuration comes from: the arguments every command takes, and the process environment.

use super::{Config, Profile, problem::Problems};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments that choose the configuration.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Which defaults and which safety rules apply.
    #[arg(long, global = true, value_enum, env = "CXR_PROFILE", default_value = "production")]
    pub profile: Profile,
    /// Folder with an optional <profile>.yaml that overrides the built-in one.
    #[arg(long, global = true, value_name = "DIR", env = "CXR_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
}

impl ConfigArgs {
    /// Loads the configuration with the environment of this process.
    ///
    /// # Errors
    /// Every problem found.
    pub fn load(&self) -> Result<Config, Problems> {
        Config::load(self.profile, self.config_dir.as_deref(), &environment())
    }
}

/// A variable that is not Unicode cannot be one of ours; it is left out rather than shown in an error.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}
