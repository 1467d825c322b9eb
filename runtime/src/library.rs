//! The shared library, loaded by path and once per process.

use crate::error::RuntimeError;
use crate::telemetry;
use ort::environment::Environment;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// The loaded ONNX Runtime. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) environment: Arc<Environment>,
    path: PathBuf,
}

impl Runtime {
    /// Loads the library, of which a process has one: a second call with the same path returns the first.
    pub fn load(library: &Path) -> Result<Self, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            if runtime.path == library {
                return Ok(runtime.clone());
            }
            return Err(RuntimeError::OtherLibrary {
                loaded: runtime.path.display().to_string(),
                asked: library.display().to_string(),
            });
        }
        if !telemetry::is_disabled() {
            return Err(RuntimeError::Telemetry);
        }
        let failed = |source| RuntimeError::Library { path: library.display().to_string(), source };
        let builder = ort::init_from(library).map_err(|error| failed(error.into()))?;
        let environment = builder.with_name("cxr").with_telemetry(false).build();
        let environment = environment.map_err(|error| failed(error.into()))?;
        let runtime = Self { environment: Arc::new(environment), path: library.to_owned() };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The file's name, which carries the version, and the commit and build flags that the library reports.
    pub fn build(&self) -> String {
        let file = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("{name}; {}", ort::info())
    }
}
