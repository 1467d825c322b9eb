//! A git repository in which the commands of README's "Train it" were run once, on files named after
//! patients. Several tests share it, and none changes what another reads.

use crate::support::{SIDE, Workbench, onnxruntime, repository, succeed};
use cxr::phantom::encode_png;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tempfile::TempDir;

/// Parts of the site's file names that occur nowhere else.
pub(crate) const IDENTIFIERS: [&str; 7] =
    ["Zwetschgen", "Philomena", "Korrupt", "Leseliste", "Quastenflosser", "Auswaerts", "Gesamtliste"];

/// Folders of the repository in which the trainer must not write by default.
const SHIPPED: [&str; 4] = ["config", "docs", "models/default", "reports"];

pub(crate) struct Site {
    folder: TempDir,
    workbench: Workbench,
    /// `git status --porcelain` after README's commands.
    pub(crate) status: String,
}

impl Site {
    /// Creates the site on first use.
    pub(crate) fn get() -> &'static Self {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(Self::make)
    }

    fn make() -> Self {
        // Enough epochs to learn something on any CPU; calibration fails otherwise.
        let workbench = Workbench::new(0, 12);
        let mut site = Self { folder: TempDir::new().unwrap(), workbench, status: String::new() };
        site.write_images();
        site.write_repository();
        for words in readme_commands() {
            let mut command = site.command(&words[0]);
            succeed(command.args(&words[1..]));
        }
        site.status = site.git(&["status", "--porcelain"]);
        site
    }

    /// Lock for commands that send events of the run: concurrent ones would leave some in the spool.
    pub(crate) fn tracking() -> MutexGuard<'static, ()> {
        static TRACKING: Mutex<()> = Mutex::new(());
        TRACKING.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The git repository, which is the current folder of all commands.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// A path outside of the repository.
    pub(crate) fn elsewhere(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.repository().join("runs/first")
    }

    /// A changed copy of the site's configuration, outside of the repository.
    pub(crate) fn configured(&self, name: &str, changes: &[(&str, Value)]) -> PathBuf {
        let file = self.elsewhere(name);
        edit(&self.repository().join("cxr.yaml"), &file, changes);
        file
    }

    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
        command.current_dir(self.repository()).env("OMP_NUM_THREADS", "1").args(subcommand.split(' '));
        command.env("ORT_DYLIB_PATH", onnxruntime());
        command
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.repository());
        git.args("-c user.name=Site -c user.email=site@example.invalid".split(' '));
        succeed(git.args(arguments))
    }

    /// Two images per patient, a damaged file and a list; images that are not radiographs, an external set
    /// with a damaged file, and originals of some images.
    fn write_images(&self) {
        let data = self.workbench.data();
        for (split, n, first) in [("train", 48, 0), ("test", 12, 1_000)] {
            for i in 0..n {
                let (seed, patient, letter) = (first + i, first + i / 2, ["a", "b"][i as usize % 2]);
                let normal = format!("{split}/NORMAL/Zwetschgenmueller{patient:04}_{letter}.png");
                self.workbench.write_phantom(&normal, seed, false);
                let positive = format!("{split}/PNEUMONIA/Philomena{patient:04}_{letter}.png");
                self.workbench.write_phantom(&positive, seed + 500_000, true);
            }
        }
        std::fs::write(data.join("train/NORMAL/Korrupt9001_a.png"), "not an image").unwrap();
        std::fs::write(data.join("Leseliste.csv"), "file,patient\nZwetschgenmueller0001_a.png,Zwetschgen\n")
            .unwrap();

        let pattern: Vec<u8> =
            (0..SIDE * SIDE).map(|at| (at % SIDE / 4 + at / SIDE / 4) as u8 % 2 * 255).collect();
        self.write("foreign/Quastenflosser.png", &encode_png(&pattern, SIDE, SIDE));
        self.write("foreign/Gesamtliste.txt", b"not an image");
        for (class, stem) in [("NORMAL", "Zwetschgenmueller"), ("PNEUMONIA", "Philomena")] {
            for i in 0..4 {
                let bytes = std::fs::read(data.join(format!("test/{class}/{stem}100{i}_a.png"))).unwrap();
                self.write(&format!("external/{class}/Auswaerts000{i}_a.png"), &bytes);
            }
            let first = format!("train/{class}/{stem}0003_a.png");
            let bytes = std::fs::read(data.join(&first)).unwrap();
            self.write(&format!("originals/{first}"), &bytes);
            self.write(&format!("other/{first}"), &bytes);
        }
        self.write("external/NORMAL/Auswaerts9999_a.png", b"damaged");
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.elsewhere(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The shipped files under git, with a configuration that leaves all output paths at their defaults.
    fn write_repository(&self) {
        std::fs::create_dir_all(self.repository()).unwrap();
        let mut listing = Command::new("git");
        let listing = succeed(listing.current_dir(repository()).args(["ls-files", "--"]).args(SHIPPED));
        for name in listing.lines() {
            let target = self.repository().join(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(repository().join(name), target).unwrap();
        }
        edit(
            &self.workbench.config(),
            &self.repository().join("cxr.yaml"),
            &[
                ("data/root", json!(self.workbench.data())),
                ("data/patient_pattern", json!("^([A-Za-z]+[0-9]+)_")),
                ("data/max_unreadable_share", json!(0.05)),
                ("evaluation/ledger", Value::Null),
                (
                    "evaluation/external",
                    json!({
                        "root": self.elsewhere("external"),
                        "name": "elsewhere",
                        "classes": { "NORMAL": "negative", "PNEUMONIA": "positive" },
                        "note": "phantoms",
                    }),
                ),
                ("calibration/ood_images", json!(self.elsewhere("foreign"))),
                ("export/directory", Value::Null),
                ("export/originals", json!(self.elsewhere("originals"))),
                ("tracking/store", json!("runs/mlruns")),
            ],
        );
        for arguments in
            [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "-m", "As shipped"]]
        {
            self.git(arguments);
        }
    }
}

/// The commands of README's "Train it", split into words, without `init`.
fn readme_commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("## Train it").nth(1).unwrap().split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.trim().strip_prefix("cxr-trainer "));
    let words = |line: &str| -> Vec<String> {
        line.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let commands: Vec<Vec<String>> = lines.map(words).filter(|words| words[0] != "init").collect();
    assert!(commands.iter().any(|words| words[0] == "run"), "README shows no run: {commands:?}");
    commands
}

/// Copies a configuration with changed values; keys are paths below `trainer`.
pub(crate) fn edit(from: &Path, to: &Path, changes: &[(&str, Value)]) {
    let mut tree: Value = serde_yaml_ng::from_slice(&std::fs::read(from).unwrap()).unwrap();
    for (key, value) in changes {
        let mut place = &mut tree["trainer"];
        for part in key.split('/') {
            place = &mut place[part];
        }
        *place = value.clone();
    }
    // JSON is valid YAML.
    std::fs::write(to, serde_json::to_vec_pretty(&tree).unwrap()).unwrap();
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}
