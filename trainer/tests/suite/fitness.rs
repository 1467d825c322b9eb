//! The verdict: report, card and registry name a network that fails its gates, its release needs a reason,
//! missing data is counted, and a change of the gates after a look at the test fold is reported.

use crate::support::{Workbench, configure, fail, onnxruntime, succeed};
use crate::truth::texts;
use cxr_trainer::fitness::Fitness;
use cxr_trainer::run::verdict::Verdict;
use std::process::Command;

const REASON: &str = "for a study of readers, never for patients";

/// Swaps the labels of the test split, so that the figures there are bad.
fn swap_test_labels(workbench: &Workbench) {
    let folder = |name: &str| workbench.data().join("test").join(name);
    for (from, to) in [("NORMAL", "waiting"), ("PNEUMONIA", "NORMAL"), ("waiting", "PNEUMONIA")] {
        std::fs::rename(folder(from), folder(to)).unwrap();
    }
}

fn release(workbench: &Workbench) -> Command {
    let mut command = workbench.command("release");
    command.arg("--onnxruntime").arg(onnxruntime());
    command
}

fn report(workbench: &Workbench) -> String {
    let folder = workbench.path().join("reports");
    succeed(workbench.command("report").arg("--reports").arg(&folder));
    std::fs::read_to_string(folder.join("REPORT.md")).unwrap()
}

#[test]
fn a_network_that_fails_its_gates_is_released_only_with_a_reason() {
    let workbench = Workbench::new(60, 8);
    swap_test_labels(&workbench);
    configure(&workbench, "min_auc: 0.0", "min_auc: 0.8");
    succeed(&mut workbench.command("train"));
    configure(&workbench, "min_per_class: 2", "min_per_class: 50");
    let printed = fail(&mut workbench.command("calibrate"));
    for expected in [
        "12 negative and 12 positive images",
        "trainer.calibration.min_per_class asks for 50",
        "38 more negative images and 38 more positive images",
    ] {
        assert!(printed.contains(expected), "{expected:?}: {printed}");
    }
    configure(&workbench, "min_per_class: 50", "min_per_class: 2");
    succeed(&mut workbench.command("calibrate"));
    for fold in ["select", "calibrate"] {
        succeed(workbench.command("evaluate").args(["--fold", fold]));
    }
    let printed = fail(&mut release(&workbench));
    assert!(printed.contains("Not shown to be fit") && printed.contains("evaluate --fold test"), "{printed}");

    succeed(workbench.command("evaluate").args(["--fold", "test", "--reason", "the gates want it"]));
    let printed = fail(&mut release(&workbench));
    assert!(
        printed.contains("Not fit for its intended use: AUC on the test fold 0.")
            && printed.contains("lower bound at least 0.8 (min_auc)")
            && printed.contains("--release-reason"),
        "{printed}"
    );
    assert_eq!(printed.matches("Not fit for its intended use").count(), 1, "once: {printed}");
    assert!(!workbench.path().join("bundle").exists(), "a refused release leaves nothing");
    let text = report(&workbench);
    let verdicts = text.matches("Not fit for its intended use: AUC on the test fold 0.").count();
    assert!(verdicts >= 3, "summary, gates and conclusion, {verdicts}: {text}");
    assert!(text.contains("before the first look at this test fold on record"), "{text}");
    assert!(text.contains("(Wilson, n ") || text.contains("(bootstrap)"), "the method: {text}");
    assert!(!text.contains("  name: ''") && !text.contains("workers: 0"), "blank keys are shown: {text}");
    assert!(text.contains("trainer.export.originals is not a folder"), "{text}");
    assert!(text.contains("refuses what is not shown to be fit"), "{text}");

    let file = workbench.path().join("own-report.md");
    std::fs::write(&file, "# Report\n").unwrap();
    let printed = succeed(release(&workbench).args(["--release-reason", REASON, "--report"]).arg(&file));
    assert!(printed.contains("registered cxr-pneumonia 1.0.0"), "{printed}");
    let bundle = workbench.path().join("bundle");
    for name in ["MODEL_CARD.md", "REPORT.md"] {
        let text = std::fs::read_to_string(bundle.join(name)).unwrap();
        assert!(text.contains(REASON) && text.contains("Not fit for its intended use"), "{name}: {text}");
    }
    for file in [bundle.join("fitness.json"), workbench.run().join("fitness.json")] {
        let found: Fitness = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!((found.verdict, found.released_although.as_deref()), (Verdict::NotFit, Some(REASON)));
    }
    let text = report(&workbench);
    assert!(text.contains(&format!("Released all the same, because: {REASON}")), "{text}");
    let tags = texts(&workbench.path().join("mlruns"));
    let verdicts: Vec<_> = tags.iter().filter(|(path, _)| path.ends_with("tags/cxr_verdict")).collect();
    assert!(
        verdicts.len() == 2 && verdicts.iter().all(|(_, verdict)| verdict == "not fit"),
        "one of the run, one of the registered version: {verdicts:?}"
    );

    // The gates are loosened after the look at the test fold.
    configure(&workbench, "min_auc: 0.8", "min_auc: 0.0");
    let text = report(&workbench);
    assert!(
        text.contains("Fit for its intended use")
            && text.contains("CHANGED after the first look at the test fold"),
        "{text}"
    );
    assert!(!text.contains(REASON), "the reason was for another verdict");
    assert!(text.contains("min_auc 0 (0.85)") && text.contains("Looser than the defaults"), "{text}");

    configure(&workbench, "calibrate: 2, test: 2", "calibrate: 2, test: 100");
    let printed = fail(&mut release(&workbench));
    assert!(
        printed.contains("Not enough data to say whether it is fit")
            && printed.contains(
                "images in the test fold: 15 negative, 15 positive: 85 more negative and 85 more positive"
            ),
        "{printed}"
    );
}
