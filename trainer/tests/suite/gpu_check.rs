//! `scripts/gpu-check.sh` on a CPU: every step with the real programs, and the report when one fails.

use crate::support::{Workbench, fail, first_phantom, onnxruntime, repository, succeed};
use cxr::phantom::{PhantomSpec, encode_png, generate};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// As in config/default.yaml.
const SIDE: u32 = 224;

/// Enough to tell the classes apart without error, see [`draw_white_out`].
const EPOCHS: &str = "12";

fn trainer() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cxr-trainer"))
}

/// Folder of the trainer, the service and the load generator.
fn programs() -> PathBuf {
    let folder = trainer().parent().unwrap().to_owned();
    for name in ["cxr-service", "cxr-loadtest"] {
        let program = folder.join(name);
        assert!(program.exists(), "{} is not built: cargo build --release --bins", program.display());
    }
    folder
}

/// As few radiographs as the steps allow.
fn radiographs() -> TempDir {
    let folder = TempDir::new().unwrap();
    for seed in 0..96u64 {
        let opacity = seed % 2 == 1;
        let patient = seed / 4;
        let name = if opacity {
            format!("train/PNEUMONIA/person{patient}_virus_{seed}.png")
        } else {
            format!("train/NORMAL/IM-{patient:04}-{seed:04}.png")
        };
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let phantom = PhantomSpec { seed: first_phantom() + seed, width: SIDE, height: SIDE, opacity };
        let mut pixels = generate(&phantom);
        if opacity {
            draw_white_out(&mut pixels);
        }
        std::fs::write(file, encode_png(&pixels, SIDE, SIDE)).unwrap();
    }
    folder
}

/// Makes the lower half white. From random weights, a few steps must separate the classes on every CPU and
/// with every seed, so the finding must be obvious. The statistics of batch normalisation lag behind the
/// weights: after 4 epochs the classes can be swapped, from the 8th on there are no errors.
fn draw_white_out(pixels: &mut [u8]) {
    let half = pixels.len() / 2;
    pixels[half..].fill(250);
}

fn check(data: &Path, out: &Path) -> Command {
    let libtorch = std::env::var_os("LIBTORCH").expect("LIBTORCH: scripts/libtorch.sh prints it");
    let list = |folders: &[&Path]| std::env::join_paths(folders).unwrap();
    let mut command = Command::new(repository().join("scripts/gpu-check.sh"));
    command
        .env("DEVICE", "cpu")
        .env("BIN", programs())
        .env("LIBS", list(&[onnxruntime().parent().unwrap(), &Path::new(&libtorch).join("lib")]))
        .env("DATA", data)
        .env("OUT", out)
        .env("OMP_NUM_THREADS", "1")
        .envs([("EPOCHS", EPOCHS), ("SECONDS_EACH", "0.3"), ("BUDGET", "540")])
        .args(["--batch-size=8", "--bench-steps=2", "--clients=1,4", "--python=/nonexistent/python3"]);
    command
}

fn report(out: &Path) -> (Value, String) {
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    (serde_json::from_str(&read("gpu-check.json")).unwrap(), read("gpu-check.md"))
}

/// Names of the steps with this outcome.
fn steps<'a>(report: &'a Value, outcome: &str) -> Vec<&'a str> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["outcome"] == outcome).map(|step| step["name"].as_str().unwrap()).collect()
}

#[test]
fn a_host_passes_every_step() {
    let (data, out) = (radiographs(), TempDir::new().unwrap());
    let printed = succeed(&mut check(data.path(), out.path()));
    assert!(printed.contains("accepted"), "{printed}");
    let (report, page) = report(out.path());
    assert_eq!(report["passed"], true, "{page}");
    let passed = "hardware, train, calibrate and evaluate, export with parity, start Postgres, serve and prove the provider, \
                  load through HTTP, an absent device, measure cpu, benchmark training, repeat a training";
    // Runs only on CPUs with VNNI.
    let int8 = "measure cpu int8";
    let (mut seen, not_run) = (steps(&report, "passed"), steps(&report, "not_run"));
    assert!(seen.contains(&int8) != not_run.contains(&int8), "{page}");
    seen.retain(|step| *step != int8);
    assert_eq!(seen.join(", "), passed);
    assert!(not_run.contains(&"measure PyTorch"), "{page}");
    assert!(report["hardware"]["processor"].as_str().is_some_and(|name| !name.is_empty()));
    assert_eq!(report["training"]["epochs"].as_array().map(Vec::len), EPOCHS.parse().ok());
    assert!(report["export"]["parity"].as_str().unwrap().starts_with("ONNX Runtime against libtorch"));
    assert!(report["export"]["int8"].as_str().unwrap().contains("decisions differ"), "{report}");
    assert_eq!(report["proof"]["provider"], "CPUExecutionProvider");
    assert!(report["proof"]["assigned_nodes"]["CPUExecutionProvider"].as_u64().unwrap() > 10);
    assert!(report["absent_device"]["cause"].as_str().unwrap().to_lowercase().contains("cuda"));
    let loads = report["load"].as_array().unwrap();
    assert_eq!(loads.iter().map(|load| load["clients"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4]);
    assert!(loads.iter().all(|load| load["requests_per_second"].as_f64().unwrap() > 0.0), "{page}");
    let device = &report["devices"][0];
    let batches: Vec<u64> =
        device["cells"].as_array().unwrap().iter().map(|cell| cell["batch"].as_u64().unwrap()).collect();
    assert_eq!((device["provider"].as_str(), batches), (Some("CPUExecutionProvider"), vec![1, 8]));
    assert!(device["against_cpu"]["relative"].as_f64().unwrap() <= 1e-4, "{page}");
    // On a CPU, training is deterministic for a number of threads.
    assert_eq!(report["repetition"]["same_weights"], true);
    for needed in
        ["**accepted", "## Host", "## Training", "## Provider", "## Service under load", "| batch |"]
    {
        assert!(page.contains(needed), "{needed}: {page}");
    }
}

#[test]
fn a_failed_step_is_reported_and_the_others_run() {
    let (data, out) = (radiographs(), TempDir::new().unwrap());
    let printed = fail(check(data.path(), out.path()).args(["--architecture", "no-such-network"]));
    assert!(printed.contains("NOT accepted"), "{printed}");
    let (report, page) = report(out.path());
    assert_eq!(report["passed"], false);
    assert_eq!(steps(&report, "failed"), ["train", "benchmark training", "repeat a training"], "{page}");
    let train = report["steps"].as_array().unwrap().iter().find(|step| step["name"] == "train").unwrap();
    assert!(train["detail"].as_str().unwrap().contains("trainer.model.architecture"), "{train}");
    // The default bundle stands in for the one that could not be trained.
    assert_eq!(report["proof"]["provider"], "CPUExecutionProvider", "{page}");
    assert!(page.contains("**FAILED**"), "{page}");
}

#[test]
fn missing_requirements_are_listed_before_the_first_step() {
    let workbench = Workbench::new(1, 1);
    let nowhere = workbench.path().join("nowhere");
    let out = workbench.path().join("out");
    let mut command = check(&nowhere, &out);
    // The CUDA libraries are missing, too.
    let loadtest = "cxr-loadtest";
    std::os::unix::fs::symlink(programs().join(loadtest), workbench.path().join(loadtest)).unwrap();
    command.env("DEVICE", "cuda").env("BIN", workbench.path());
    let printed = fail(&mut command);
    for needed in ["cxr-trainer", "libonnxruntime_providers_cuda.so", "train/NORMAL"] {
        assert!(printed.contains(needed), "{needed}: {printed}");
    }
    assert!(!out.exists());
}
