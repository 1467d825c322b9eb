//! Hardware and software of a run.

use crate::files;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const FILE: &str = "environment.json";

/// Content of `environment.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub started: String,
    pub processor: String,
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    #[serde(default)]
    pub cuda_devices: i64,
    pub compute_threads: i32,
    pub libraries: BTreeMap<String, String>,
    /// See [`git_commit`].
    pub git_commit: Option<String>,
}

impl Environment {
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        files::read_json(&folder.join(FILE))
    }

    pub fn current() -> Result<Self> {
        let libraries = [
            ("libtorch", env!("LIBTORCH_VERSION")),
            ("rustc", env!("RUSTC_VERSION")),
            ("cxr-trainer", env!("CARGO_PKG_VERSION")),
        ];
        Ok(Self {
            started: now()?,
            processor: processor(),
            memory_bytes: memory_bytes(),
            cuda_devices: tch::Cuda::device_count(),
            compute_threads: tch::get_num_threads(),
            libraries: libraries.map(|(name, version)| (name.to_owned(), version.to_owned())).into(),
            git_commit: git_commit(),
        })
    }
}

/// The current time in UTC, RFC 3339, without fractions of a second.
pub fn now() -> Result<String> {
    Ok(OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?)
}

/// Commit of the trainer's repository that contains this executable, with `+changes` if the working tree
/// differs. The current folder may belong to another repository.
pub fn git_commit() -> Option<String> {
    commit_of(&repository_of(&std::env::current_exe().ok()?)?)
}

fn repository_of(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().ok()?;
    let around = program.ancestors().skip(1).find(|folder| folder.join(".git").exists())?;
    around.join("trainer/Cargo.toml").is_file().then(|| around.to_owned())
}

fn commit_of(repository: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(repository).args(arguments).output().ok();
        let output = output.filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+changes" } else { commit })
}

/// Host name of this machine, with hyphens for other characters than letters and digits.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn memory_bytes() -> Option<u64> {
    let information = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = information.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    format!("{model}, {} hardware threads", std::thread::available_parallelism().map_or(1, NonZero::get))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_that_of_the_trainers_own_repository() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let program = root.join("target/release/cxr-trainer");
        std::fs::create_dir_all(root.join("target/release")).unwrap();
        std::fs::write(&program, "").unwrap();
        std::fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(repository_of(&program), None, "another repository");
        std::fs::create_dir(root.join("trainer")).unwrap();
        std::fs::write(root.join("trainer/Cargo.toml"), "").unwrap();
        assert_eq!(repository_of(&program), Some(root));
    }
}
