//! Nothing with a line or a picture of a patient leaves a run directory unless the configuration says so: identifiers are
//! planted in the names of every kind of file, and every byte that a store has or a server was sent is searched.

use crate::recorder::Recorder;
use crate::site::{IDENTIFIERS, Site, files_below};
use crate::support::succeed;
use serde_json::json;
use std::path::Path;

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Where an identifier stands in the bytes, and what stands around it.
fn traces(bytes: &[u8]) -> Vec<String> {
    let around = |identifier: &&str| {
        let at = bytes.windows(identifier.len()).position(|window| window == identifier.as_bytes())?;
        let shown = &bytes[at.saturating_sub(150)..(at + 60).min(bytes.len())];
        Some(String::from_utf8_lossy(shown).into_owned())
    };
    IDENTIFIERS.iter().filter_map(around).collect()
}

/// Fails when the name or a byte of a file below a folder holds an identifier.
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
fn no_line_and_no_picture_of_a_patient_leaves_a_run_unless_the_configuration_says_so() {
    let site = Site::get();
    let _alone = Site::tracking();
    let run = site.run();
    // The identifiers are where they belong, or nothing here could be found.
    for file in [
        "folds.json",
        "split.json",
        "eda.json",
        "calibration.json",
        "consistency.json",
        "explain.json",
        "evaluation-external.json",
        "scores-test.csv",
        "worst-test.csv",
    ] {
        assert!(!traces(&std::fs::read(run.join(file)).unwrap()).is_empty(), "{file} names nobody");
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

    // The same to a server, which gets everything that the spool holds.
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
            printed.lines().any(|line| line.starts_with("stays") && line.contains(file)),
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

    // What it would send is sent where it is wanted: the search above finds it.
    let server = Recorder::start(&[]);
    track(&server, true);
    let sent = server.sent();
    for identifier in IDENTIFIERS {
        assert!(holds(&sent, identifier.as_bytes()), "{identifier} was not sent");
    }
    assert!(pictures.iter().all(|picture| holds(&sent, picture)));

    // Its spool is there, and the configuration is the careful one again.
    let server = Recorder::start(&[]);
    let printed = track(&server, false);
    assert!(printed.contains("worst-test.csv stays in the run directory"), "{printed}");
    let sent = server.sent();
    assert!(holds(&sent, b"metrics.csv") && pictures.iter().all(|picture| !holds(&sent, picture)));
}
