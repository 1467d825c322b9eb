//! Checks that a folder can hold a run before a file is written.

use crate::files;
use anyhow::{Result, ensure};
use serde_yaml_ng::Value;
use std::path::Path;

/// The keys that the weights depend on.
pub(crate) const CONFIG: &str = "config.yaml";
/// Folder in the root of an empty file system.
const LOST_AND_FOUND: &str = "lost+found";

/// Fails for the root of a git repository, and for a folder with files but no run.
pub(super) fn check(path: &Path) -> Result<()> {
    ensure!(
        !path.join(".git").exists(),
        "{}: is the root of a git repository; a run needs a folder of its own, such as --run runs/first",
        path.display()
    );
    ensure!(
        !holds_files(path) || is_run(path),
        "{}: contains files that do not belong to a run; a run needs a folder of its own, new or empty, such as --run runs/first",
        path.display()
    );
    Ok(())
}

/// Whether the folder has a run's configuration or, after an interrupted start, its first file.
pub(super) fn is_run(path: &Path) -> bool {
    files::is_kept_out_of_git(path) || is_runs_configuration(&path.join(CONFIG))
}

/// The configuration of a run has the keys of the section `trainer` at the top; a file for --config has the section.
fn is_runs_configuration(file: &Path) -> bool {
    let text = std::fs::read(file).unwrap_or_default();
    serde_yaml_ng::from_slice(&text)
        .is_ok_and(|tree: Value| tree.get("training").is_some() && tree.get("data").is_some())
}

/// Ignores hidden files, which desktops and file servers create anywhere.
fn holds_files(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            !name.to_string_lossy().starts_with('.') && name != LOST_AND_FOUND
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_a_new_an_empty_and_its_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        check(&path.join("new")).unwrap();
        check(path).unwrap();
        let config = path.join(CONFIG);
        std::fs::write(&config, "trainer: { training: { epochs: 3 } }").unwrap();
        let told = check(path).unwrap_err().to_string();
        assert!(told.contains("do not belong to a run") && told.contains("--run runs/first"), "{told}");
        std::fs::write(&config, "seed: 1\ndata: {}\ntraining: {}\n").unwrap();
        check(path).unwrap();
        // A start that was interrupted before the configuration was written.
        std::fs::remove_file(&config).unwrap();
        std::fs::create_dir(path.join("tracking")).unwrap();
        assert!(check(path).is_err());
        files::keep_out_of_git(path).unwrap();
        check(path).unwrap();
    }
}
