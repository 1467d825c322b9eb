//! Rejected input and its error messages.

use crate::support::{Workbench, fail, fail_with, read, repository, succeed, trainer};

#[test]
fn every_subcommand_shows_an_example() {
    let subcommands = "init, eda, split, train, calibrate, evaluate, explain, robustness, export, release, verify, \
        register, track, complete, consistency, tune, quantise, benchmark, benchmark training, benchmark bundle, \
        recalibrate, report, run";
    for subcommand in subcommands.split(", ") {
        let help = succeed(trainer(subcommand).arg("--help"));
        assert!(help.contains("Example"), "{subcommand}: {help}");
    }
}

#[test]
fn a_missing_gpu_is_an_error() {
    if tch::Cuda::is_available() {
        return;
    }
    let workbench = Workbench::new(4, 1);
    fail_with(workbench.command("train").args(["--device", "cuda"]), &["--device cuda"]);
    fail_with(workbench.command("train").args(["--device", "gpu"]), &["cpu, cuda or cuda:N"]);
}

#[test]
fn all_unreadable_images_are_listed() {
    let workbench = Workbench::new(40, 1);
    for (name, bytes) in
        [("IM-7001-0001.png", &b"no image"[..]), ("IM-7002-0001.jpeg", &[0xFF, 0xD8, 0xFF][..])]
    {
        std::fs::write(workbench.data().join("train/NORMAL").join(name), bytes).unwrap();
    }
    // Both must be in the train fold: a command lists only the bad images of one fold.
    workbench.set_data("select_fraction: 0.05, calibrate_fraction: 0.05");
    let printed = fail(&mut workbench.command("train"));
    assert!(printed.contains("2 images cannot be used"), "{printed}");
    assert!(printed.contains("IM-7001-0001.png") && printed.contains("IM-7002-0001.jpeg"), "{printed}");
}

#[test]
fn a_configuration_without_valid_trainer_keys_is_refused() {
    let workbench = Workbench::new(1, 1);
    for (text, expected) in [
        ("trainr: { seed: 3 }", "unknown section `trainr`, did you mean `trainer`?"),
        ("seed: 3", "unknown section `seed`"),
        ("service: { http: { bind: 127.0.0.1:1 } }", "has no section `trainer`"),
        ("trainer:", "the section `trainer` has no keys"),
        ("", "is empty"),
        ("trainer: {", "not YAML"),
        ("trainer:\n\tseed: 3", "line 2 begins with a tab: YAML wants spaces"),
        ("trainer: { training: { epoch: 3 } }", "unknown key `epoch`, did you mean `epochs`?"),
    ] {
        std::fs::write(workbench.config(), text).unwrap();
        let printed = fail(&mut workbench.command("split"));
        assert!(printed.contains(expected) && printed.contains("config.yaml"), "{text}: {printed}");
    }
    assert!(!workbench.run().exists());
}

#[test]
fn later_files_override_earlier_ones_and_may_have_a_section_service() {
    let workbench = Workbench::new(20, 1);
    let [second, third, missing] =
        ["second.yaml", "third.yaml", "missing.yaml"].map(|name| workbench.path().join(name));
    std::fs::write(&second, "trainer: { seed: 5, data: { select_fraction: 0.3 } }").unwrap();
    std::fs::write(&third, "service: { http: { bind: 127.0.0.1:1 } }\ntrainer: { seed: 6 }").unwrap();
    succeed(workbench.command("split").arg("--config").arg(second).arg("--config").arg(third));
    let frozen = read(workbench.run().join("config.yaml"));
    assert!(frozen.contains("seed: 6") && frozen.contains("select_fraction: 0.3"), "{frozen}");
    fail_with(workbench.command("split").arg("--config").arg(&missing), &["missing.yaml"]);
}

#[test]
fn all_missing_keys_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    fail_with(
        trainer("split").current_dir(folder.path()),
        &[
            "trainer.data.root (or --data)",
            "trainer.data.name",
            "trainer.data.classes",
            "cxr-trainer init FOLDER",
        ],
    );
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is written");
    // The bundle's name and intended use are required before hours of training.
    let workbench = Workbench::new(4, 1);
    workbench.set("export: { name: null, intended_use: null }");
    fail_with(
        workbench.command("run").args(["--onnxruntime", "lib.so"]),
        &["trainer.export.name", "intended_use.statement"],
    );
    assert!(!workbench.run().exists());
}

#[test]
fn configuration_errors_name_the_key() {
    let workbench = Workbench::new(1, 1);
    for (text, expected) in [
        ("trainer: { training: { epochs: many } }", "trainer.training.epochs"),
        ("trainer: { training: { epoch: 3 } }", "epoch"),
        ("trainer: { augmentation: { scale: [2.0, 1.0] } }", "trainer.augmentation.scale"),
        ("trainer: { training: { layer_decay: 0.0 } }", "trainer.training.layer_decay"),
        ("trainer: { training: { mixup_alpha: -1.0 } }", "trainer.training.mixup_alpha"),
        ("trainer: { training: { head_first_epochs: 99 } }", "trainer.training.head_first_epochs"),
        ("trainer: { training: { loss: { kind: hinge } } }", "trainer.training.loss.kind"),
        ("trainer: { training: { optimiser: sgd } }", "trainer.training.optimiser"),
        ("trainer: { model: { architecture: resnet } }", "trainer.model.architecture"),
        ("trainer: { gates: { min_auc: 1.5 } }", "trainer.gates.min_auc"),
        ("trainer: { provenance: { hospital: here } }", "hospital"),
        ("trainer: { calibration: { min_per_class: 0 } }", "trainer.calibration.min_per_class"),
        ("trainer: { training: { epochs: 0 } }", "config.yaml: trainer.training.epochs: must be at least 1"),
        (
            "trainer: { data: { select_fraction: 0.9 } }",
            "config.yaml: trainer.data: select_fraction 0.9, calibrate_fraction",
        ),
        (
            "trainer: { data: { classes: { NORMAL: negative } } }",
            "config.yaml: trainer.data.classes: no class is positive",
        ),
        (
            "trainer: { export: { intended_use: { views: [ap] } } }",
            "config.yaml: trainer.export.intended_use.views[0]: `ap` is not one of PA, AP, LL, RL, did you mean `AP`?",
        ),
        ("trainer: { model: { architecture: resnet } }", "`resnet` is not one of"),
    ] {
        std::fs::write(workbench.config(), text).unwrap();
        let printed = fail(&mut workbench.command("train"));
        assert!(printed.contains(expected), "{text}: {printed}");
    }
    std::fs::write(workbench.config(), "trainer: { export: { quite_unlike_them: 1 } }").unwrap();
    let printed = fail(&mut workbench.command("train"));
    assert!(printed.contains("the keys here are") && !printed.contains(", export"), "{printed}");
}

#[test]
fn errors_about_files_and_folders_name_the_option() {
    let workbench = Workbench::new(4, 1);
    let mut split = workbench.command_without_data("split");
    fail_with(
        split.arg("--run").arg(workbench.run()).args(["--data", "nothere"]),
        &["trainer.data.root or --data"],
    );

    let trainer = |subcommand: &str| {
        let mut command = trainer(subcommand);
        command.current_dir(workbench.path());
        command
    };
    let bundle = repository().join("models/default");
    // A run directory is not a bundle; its folder `bundle` is.
    let inside = workbench.path().join("runs/tb/bundle");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::copy(bundle.join("bundle.json"), inside.join("bundle.json")).unwrap();
    fail_with(trainer("verify").arg("runs/tb"), &["runs/tb: not a bundle; did you mean runs/tb/bundle?"]);
    fail_with(trainer("verify").arg("runs/other"), &["runs/other: no such folder"]);

    let mut init = trainer("init");
    init.args(["data", "--class", "NORMAL=negative", "--class", "PNEUMONIA=positive", "--name", "x"]);
    succeed(init.args(["--intended-use", "A test.", "--signing-key", "other.pem"]));
    let printed = fail(trainer("verify").arg(&bundle).args(["--public-key", "other.pub.pem"]));
    assert!(printed.contains("signed by key") && printed.contains("with --public-key"), "{printed}");
    assert!(
        !printed.contains("signature: signature") && !printed.contains("signature.json: signature"),
        "{printed}"
    );

    let mut recalibrate = trainer("recalibrate");
    recalibrate.arg("--bundle").arg(&bundle).args(["--labels", "log.ndjson", "--out", "next"]);
    fail_with(recalibrate.args(["--onnxruntime", "lib.so"]), &["pass --signing-key FILE"]);
}
