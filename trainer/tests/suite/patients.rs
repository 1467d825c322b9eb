//! Rows and images of patients stay in the run directory unless the configuration allows more. Identifiers
//! are planted in the names of all kinds of files, and every byte in the store or sent to a server is
//! searched for them.

use crate::recorder::Recorder;
use crate::site::{IDENTIFIERS, Site, files_below};
use crate::support::succeed;
use serde_json::json;
use std::path::Path;

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Identifiers in the bytes, with their context.
fn traces(bytes: &[u8]) -> Vec<String> {
    let around = |identifier: &&str| {
        let at = bytes.windows(identifier.len()).position(|window| window == identifier.as_bytes())?;
        let shown = &bytes[at.saturating_sub(150)..(at + 60).min(bytes.len())];
        Some(String::from_utf8_lossy(shown).into_owned())
    };
    IDENTIFIERS.iter().filter_map(around).collect()
}

/// No name or content of a file below the folder contains an identifier.
fn expect_no_trace(folder: &Path) {
    let files = files_below(folder);
    assert!(!files.is_empty(), "{}: {files:?}", folder.display());
    for file in files {
        let name = file.strip_prefix(folder).unwrap().display().to_string();
        let found = traces(name.as_bytes());
        assert!(found.is_empty(), "{name}");
        let found = traces(&std::fs::read(&file).unwrap());
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn rows_and_images_of_patients_stay_in_the_run_unless_configured() {
    let site = Site::get();
    let _alone = Site::tracking();
    let run = site.run();
    // The run directory contains the identifiers, so the search can find them.
    let files = "folds.json split.json eda.json calibration.json consistency.json \
        explain.json evaluation-external.json scores-test.csv worst-test.csv";
    for file in files.split(' ') {
        assert!(!traces(&std::fs::read(run.join(file)).unwrap()).is_empty(), "{file} has no identifier");
    }
    for folder in ["runs/mlruns", "runs/first/tracking", "runs/first/bundle"] {
        expect_no_trace(&site.repository().join(folder));
    }
    let pictures: Vec<Vec<u8>> = files_below(&run.join("figures"))
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "png"))
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert!(pictures.len() > 3);
    for file in files_below(&site.repository().join("runs/mlruns")) {
        assert!(!pictures.contains(&std::fs::read(&file).unwrap()), "{} is a picture", file.display());
    }

    // The same for a server, which gets all events in the spool.
    let track = |server: &Recorder, patient_level: bool| {
        let config = site.configured(
            "tracked.yaml",
            &[("tracking/server", json!(server.url)), ("tracking/patient_level", json!(patient_level))],
        );
        let mut track = site.command("track");
        succeed(track.arg("--config").arg(config).args(["--run", "runs/first"]))
    };
    let server = Recorder::start(&[]);
    let printed = track(&server, false);
    for file in ["folds.json", "worst-test.csv", "figures/worst-test.png"] {
        assert!(
            printed.lines().any(|line| line.starts_with("not sent   ") && line.contains(file)),
            "{file}: {printed}"
        );
    }
    let sent = server.sent();
    for wanted in [
        "PUT /api/2.0/mlflow-artifacts/artifacts/1/abc/artifacts/metrics.csv",
        "evaluation-external/figures/auc",
        "model.onnx",
    ] {
        assert!(holds(&sent, wanted.as_bytes()), "{wanted} was not sent");
    }
    let found = traces(&sent);
    assert!(found.is_empty(), "{found:?}");
    assert!(pictures.iter().all(|picture| !holds(&sent, picture)), "a picture was sent");

    // With `patient_level` they are sent, so the search would find them.
    let server = Recorder::start(&[]);
    track(&server, true);
    let sent = server.sent();
    for identifier in IDENTIFIERS {
        assert!(holds(&sent, identifier.as_bytes()), "{identifier} was not sent");
    }
    assert!(pictures.iter().all(|picture| holds(&sent, picture)));

    // Without it again, the events left in the spool are filtered.
    let server = Recorder::start(&[]);
    let printed = track(&server, false);
    assert!(printed.contains("worst-test.csv stays in the run directory"), "{printed}");
    let sent = server.sent();
    assert!(holds(&sent, b"metrics.csv") && pictures.iter().all(|picture| !holds(&sent, picture)));
}
