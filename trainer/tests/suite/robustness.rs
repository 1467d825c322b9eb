//! Robustness on phantoms: a shortcut is found, a finding is not mistaken for one, a killed suite resumes.

use crate::support::{SIDE, Workbench, configure, fail, onnxruntime, succeed};
use cxr::lettering;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use cxr_trainer::measure::robustness::Robustness;
use cxr_trainer::measure::robustness::probes::ChangeProbe;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Letters in two corners of every positive are the only difference between the classes.
fn plant_letters(workbench: &Workbench) {
    for split in ["train", "test"] {
        for (class, is_marked) in [("NORMAL", false), ("PNEUMONIA", true)] {
            let folder = workbench.data().join(split).join(class);
            for (number, file) in (0u64..).zip(std::fs::read_dir(folder).unwrap()) {
                let seed = number + if is_marked { 900_000 } else { 0 } + u64::from(split == "test") * 50_000;
                let mut pixels = generate(&PhantomSpec { seed, width: SIDE, height: SIDE, opacity: false });
                if is_marked {
                    lettering::draw(&mut pixels, SIDE, (1, 1), "AP", 1, 255);
                    lettering::draw(&mut pixels, SIDE, (SIDE - 12, SIDE - 8), "AP", 1, 255);
                }
                std::fs::write(file.unwrap().path(), encode_png(&pixels, SIDE, SIDE)).unwrap();
            }
        }
    }
    // Augmentation with letters on both classes would teach the network to ignore them.
    for key in ["letters_probability: 0.1", "occlusion_probability: 0.1", "warp_probability: 0.8"] {
        configure(workbench, key, &format!("{} 0.0", key.split_once(' ').unwrap().0));
    }
}

fn trained(prepare: impl Fn(&Workbench)) -> Workbench {
    let workbench = Workbench::new(100, 12);
    prepare(&workbench);
    for subcommand in ["train", "calibrate"] {
        succeed(&mut workbench.command(subcommand));
    }
    workbench
}

fn probe<'a>(result: &'a Robustness, name: &str) -> &'a ChangeProbe {
    result.probes.as_ref().unwrap().changes.iter().find(|probe| probe.name == name).unwrap()
}

fn corner_statistics(result: &Robustness) -> f64 {
    let classifiers = &result.probes.as_ref().unwrap().classifiers;
    classifiers.iter().find(|probe| probe.name == "corner statistics").unwrap().auc.unwrap().value
}

#[test]
fn planted_letters_are_found_and_a_killed_suite_resumes() {
    let workbench = trained(plant_letters);
    let printed = succeed(workbench.command("robustness").args(["--parts", "probes,mitigations"]));
    let result = Robustness::load(&workbench.run()).unwrap().unwrap();
    assert!(result.clean.auc.value > 0.9, "the network has not learnt the letters\n{printed}");
    assert!(corner_statistics(&result) > 0.9, "{printed}");
    let masked = probe(&result, "corners masked");
    assert!(masked.auc.value < 0.7 && masked.auc_change.ci95[1] < 0.0, "{masked:?}");
    let swapped = probe(&result, "corners of the other class");
    let within = probe(&result, "corners of the same class");
    assert!(swapped.flips_positive.value > within.flips_positive.value, "{swapped:?} {within:?}");
    let headers = &result.probes.as_ref().unwrap().classifiers[0];
    assert!(headers.not_measured.as_ref().unwrap().contains("trainer.export.originals"), "{headers:?}");
    let mitigations = result.mitigations.unwrap();
    assert_eq!(mitigations.len(), 3);
    assert!(mitigations.iter().all(|m| m.results.len() == 7 && m.mean_auc_change.is_some()));

    // A suite that is killed after a corruption and resumed writes the same bytes as an uninterrupted one.
    let (json, steps) = (workbench.run().join("robustness.json"), workbench.run().join("robustness"));
    std::fs::remove_file(&json).unwrap();
    std::fs::remove_dir_all(&steps).unwrap();
    let corruptions = || {
        let mut command = workbench.command("robustness");
        command.args(["--parts", "corruptions", "--severities", "5"]);
        command
    };
    let mut child = corruptions().stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    while !steps.join("gaussian_blur-5.json").exists() {
        assert!(Instant::now() < deadline, "no step after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!json.exists() && !steps.join("corner_mask-5.json").exists(), "ended before it could be killed");
    let modified = |name: &str| std::fs::metadata(steps.join(name)).unwrap().modified().unwrap();
    let first = modified("gaussian_noise-5.json");
    succeed(&mut corruptions());
    assert_eq!(modified("gaussian_noise-5.json"), first, "a finished step is not measured again");
    let resumed = std::fs::read(&json).unwrap();
    std::fs::remove_file(&json).unwrap();
    std::fs::remove_dir_all(&steps).unwrap();
    succeed(&mut corruptions());
    assert_eq!(std::fs::read(&json).unwrap(), resumed);
}

#[test]
fn a_network_without_shortcuts_withstands_masked_corners_as_a_run_and_as_a_bundle() {
    let workbench = trained(|_| {});
    succeed(workbench.command("robustness").args(["--severities", "1,5", "--parts", "corruptions,probes"]));
    let result = Robustness::load(&workbench.run()).unwrap().unwrap();
    assert!(result.clean.auc.value > 0.9, "{:?}", result.clean);
    let masked = probe(&result, "corners masked");
    assert!(masked.auc.value > 0.85, "{masked:?}");
    assert!(probe(&result, "only the border visible").auc.value < masked.auc.value);
    assert!(corner_statistics(&result) < 0.8);
    let suite = result.corruptions.as_ref().unwrap();
    assert_eq!(suite.results.len(), 28);
    let mean = suite.results.iter().map(|r| r.figures.auc.value).sum::<f64>() / 28.0;
    assert!((mean - suite.mean_auc.value).abs() < 1e-12);
    assert!(suite.mean_auc.ci95[0] <= mean && mean <= suite.mean_auc.ci95[1]);
    let figure = std::fs::read_to_string(workbench.run().join("figures/robustness-auc.svg")).unwrap();
    assert!(figure.contains("<svg"));

    // `evaluate` gets the same figures for the clean images.
    for fold in ["select", "calibrate"] {
        succeed(workbench.command("evaluate").args(["--fold", fold]));
    }
    let evaluation = std::fs::read_to_string(workbench.run().join("evaluation-select.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&evaluation).unwrap();
    assert_eq!(evaluation["figures"]["auc"]["value"], serde_json::json!(result.clean.auc.value));

    let (library, output) = (onnxruntime(), workbench.path().join("of-bundle"));
    succeed(workbench.command("export").arg("--onnxruntime").arg(&library));
    let mut of_bundle = workbench.command("robustness");
    of_bundle.arg("--bundle").arg(workbench.path().join("bundle")).arg("--output").arg(&output);
    of_bundle.arg("--onnxruntime").arg(&library).args(["--parts", "corruptions", "--severities", "1,5"]);
    succeed(&mut of_bundle);
    let released = Robustness::load(&output).unwrap().unwrap();
    for (a, b) in suite.results.iter().zip(&released.corruptions.as_ref().unwrap().results) {
        assert!((a.figures.auc.value - b.figures.auc.value).abs() < 0.02, "{a:?} {b:?}");
    }

    let mut compare = workbench.command("robustness");
    let printed = succeed(compare.arg("--compare").arg(workbench.run()).arg(&output));
    assert!(printed.lines().count() == 3 && printed.contains("corrupted AUC"), "{printed}");
    assert!(workbench.run().join("robustness-comparison.json").exists());
    let printed = fail(workbench.command("robustness").arg("--compare").arg(workbench.data()));
    assert!(printed.contains("robustness.json"), "{printed}");

    explained(&workbench);
}

/// Explanations of the same run: the maps are Grad-CAM, and randomised weights change them.
fn explained(workbench: &Workbench) {
    let mut explain = workbench.command("explain");
    let printed = succeed(explain.arg("--onnxruntime").arg(onnxruntime()));
    let file = workbench.run().join("explain.json");
    let text = std::fs::read(&file).unwrap();
    let found: cxr_trainer::measure::explain::Explanation = serde_json::from_slice(&text).unwrap();
    assert!(found.agreement.unwrap().largest_relative_difference < 1e-3, "{printed}");
    let randomisation = found.randomisation.unwrap();
    let (first, last) = (&randomisation.steps[0], randomisation.steps.last().unwrap());
    assert_eq!(first.stage, "trained");
    assert!(first.spearman.value > 0.99 && first.ssim.value > 0.99, "{first:?}");
    assert!(last.spearman.value < 0.9 && last.ssim.value < 0.95, "{last:?}\n{printed}");
    assert_eq!(randomisation.steps[1].stage, "classifier");
    assert_eq!(last.stage, "features.0");
    let saliency = found.saliency.unwrap();
    let all = &saliency.groups[0];
    assert_eq!((all.group.as_str(), all.n + all.n_without_evidence), ("all", found.n));
    assert!(saliency.groups[1..3].iter().map(|g| g.n + g.n_without_evidence).sum::<usize>() == found.n);
    assert!((0.0..=1.0).contains(&all.border.unwrap().value));
    assert_eq!(found.lung_field, "not measured: no lung segmentation");
    let overlays = found.overlays.unwrap();
    for name in overlays.iter().map(|o| o.file.as_str()).chain(["explain-contact-sheet.png"]) {
        let png = std::fs::read(workbench.run().join("figures").join(name)).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{name}");
    }
    // Results on file for these weights are not measured again.
    let printed = succeed(&mut explain);
    assert!(!printed.contains("rank correlation"), "{printed}");
    assert_eq!(std::fs::read(&file).unwrap(), text);
}
