//! The files of deploy/: rules, routes, dashboards and runbooks, checked with the programs that load them,
//! and live against a Prometheus that scrapes two replicas.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "figures of a live test")]

mod dashboards;
mod expressions;
mod live;
mod metrics;
mod routes;
mod rules;
mod runbooks;
mod snapshot;

use std::path::{Path, PathBuf};
use std::process::Command;
use system_tests::{root, skipped};

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// Whether programs are installed; if not, a message, or a failure where no test may be skipped.
fn installed(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        skipped(&format!("no {program}: scripts/setup.sh installs it"));
    }
    missing.is_none()
}

/// Runs a program that must succeed, and returns its output.
fn run(program: &mut Command) -> String {
    let output = program.output().expect("it is installed");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{program:?}\n{text}");
    text
}

/// The files of a folder with this extension, in order.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}: no .{extension} files", folder.display());
    paths
}
