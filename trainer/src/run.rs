//! The run directory: everything that one training run leaves behind, and the names of its files.

use crate::config::Config;
use crate::environment::Environment;
use crate::files;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// The bundle's folder in a run directory, unless another is named.
pub const BUNDLE: &str = "bundle";

/// A directory that belongs to one configuration and one dataset.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates it, or finds it again.
    ///
    /// # Errors
    /// When it was started with another configuration.
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("{}: cannot be created", path.display()))?;
        let run = Self { path: path.to_owned() };
        let (file, text) = (run.file("config.yaml"), serde_yaml_ng::to_string(&config.training_part())?);
        if file.exists() {
            let frozen = std::fs::read_to_string(&file)
                .with_context(|| format!("{}: cannot be read", file.display()))?;
            let difference = text.lines().zip(frozen.lines()).find(|(now, then)| now != then);
            ensure!(
                frozen == text,
                "{}: this run was started with another configuration (now {:?}, then {:?}); restore it or choose another --run",
                file.display(),
                difference.map_or("", |(now, _)| now.trim()),
                difference.map_or("", |(_, then)| then.trim()),
            );
        } else {
            files::write_atomically(&file, text.as_bytes())?;
            files::write_json(&run.file("environment.json"), &Environment::current()?)?;
        }
        Ok(run)
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its own name.
    pub fn name(&self) -> String {
        let name = self
            .path
            .canonicalize()
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        name.unwrap_or_else(|| self.path.display().to_string())
    }

    /// The frozen folds.
    pub fn folds(&self) -> PathBuf {
        self.file("folds.json")
    }

    /// Where training stands.
    pub fn checkpoint(&self) -> PathBuf {
        self.file("checkpoint.safetensors")
    }

    /// The averaged weights of the best epoch.
    pub fn best_weights(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    /// The bundle's folder, unless another is named.
    pub fn bundle(&self) -> PathBuf {
        self.file(BUNDLE)
    }
}
