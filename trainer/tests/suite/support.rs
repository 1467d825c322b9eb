//! Phantom data sets with an obvious finding in Kaggle's layout, small configurations, and commands that run
//! on them.

use cxr::phantom::{PhantomSpec, encode_png, generate};
use cxr_trainer::model::weights;
use serde_yaml_ng::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use system_tests::server::binary;
use tempfile::TempDir;

pub(crate) const SIDE: u32 = 64;

/// Seed of the phantoms and of every training: 42, or `CXR_TEST_SEED`. No test may depend on it.
pub(crate) fn seed() -> u64 {
    std::env::var("CXR_TEST_SEED").map_or(42, |seed| seed.parse().expect("CXR_TEST_SEED is a number"))
}

/// Seed of the first phantom of a test; depends on [`seed`].
pub(crate) fn first_phantom() -> u64 {
    seed().abs_diff(42) * 10_000_000
}

/// A data set, a configuration and a run directory in a temporary folder.
pub(crate) struct Workbench {
    folder: TempDir,
}

impl Workbench {
    /// `n` train images per class and a quarter as many test images; two images per patient.
    pub(crate) fn new(n: usize, epochs: usize) -> Self {
        let workbench = Self { folder: TempDir::new().unwrap() };
        for (split, n, first_seed, first_patient) in [("train", n, 0, 0), ("test", n / 4, 1_000_000, 4000)] {
            for i in 0..n {
                let seed = first_phantom() + first_seed + i as u64;
                // The classes use different seeds, so the patients differ and not only the finding.
                let patient = first_patient + i / 2;
                let (negative, positive) = (
                    format!("NORMAL/IM-{patient:04}-{i:04}.png"),
                    format!("PNEUMONIA/person{patient}_virus_{i}.png"),
                );
                workbench.write_phantom(&format!("{split}/{negative}"), seed, false);
                workbench.write_phantom(&format!("{split}/{positive}"), seed + 500_000, true);
            }
        }
        std::fs::write(workbench.config(), configuration(epochs, workbench.path())).unwrap();
        workbench
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("config.yaml")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.path().join("run")
    }

    pub(crate) fn write_phantom(&self, path: &str, seed: u64, opacity: bool) {
        self.write_square(path, seed, opacity, SIDE);
    }

    /// Large enough for the default configuration.
    pub(crate) fn write_large(&self, path: &str, seed: u64, opacity: bool) {
        self.write_square(path, seed, opacity, 2 * SIDE);
    }

    fn write_square(&self, path: &str, seed: u64, opacity: bool, side: u32) {
        let mut pixels = generate(&PhantomSpec { seed, width: side, height: side, opacity });
        if opacity {
            draw_mass(&mut pixels, side, seed);
        }
        self.write(path, encode_png(&pixels, side, side));
    }

    /// Writes a file of the data set.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.data().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Merges keys of `trainer.data` into the configuration, such as `pool_test: true, classes: {
    /// TUBERCULOSIS: exclude }`.
    pub(crate) fn set_data(&self, keys: &str) {
        self.set(&format!("data: {{ {keys} }}"));
    }

    /// Merges keys of the section `trainer` into the configuration.
    pub(crate) fn set(&self, keys: &str) {
        let mut config: Value = serde_yaml_ng::from_str(&read(self.config())).unwrap();
        merge(&mut config["trainer"], serde_yaml_ng::from_str(keys).unwrap());
        std::fs::write(self.config(), serde_yaml_ng::to_string(&config).unwrap()).unwrap();
    }

    /// `cxr-trainer SUBCOMMAND` with this data set, configuration and run directory.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = self.command_without_data(subcommand);
        command.arg("--run").arg(self.run()).arg("--data").arg(self.data());
        command
    }

    /// `cxr-trainer SUBCOMMAND` with this configuration alone.
    pub(crate) fn command_without_data(&self, subcommand: &str) -> Command {
        let mut command = trainer(subcommand);
        command.arg("--config").arg(self.config());
        command
    }

    /// `cxr-trainer SUBCOMMAND` that writes the next version of a bundle.
    pub(crate) fn revise(&self, subcommand: &str, bundle: &Path, out: &Path) -> Command {
        let mut command = self.command_without_data(subcommand);
        command.arg("--bundle").arg(bundle).arg("--out").arg(out).arg("--onnxruntime").arg(onnxruntime());
        command
    }
}

fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Mapping(under), Value::Mapping(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

/// Draws a round, dense mass. A phantom's own opacities are as subtle as real ones: without pretraining, a
/// network does not find them in a hundred images.
pub(crate) fn draw_mass(pixels: &mut [u8], side: u32, seed: u64) {
    let (radius, width) = (i64::from(side) / 7, i64::from(side));
    let centre = |factor: u64| (u64::from(side) * (25 + seed * factor % 50) / 100) as i64;
    let (centre_x, centre_y) = (centre(37), centre(53));
    for (position, level) in (0i64..).zip(pixels) {
        let (x, y) = (position % width, position / width);
        if (x - centre_x).pow(2) + (y - centre_y).pow(2) < radius * radius {
            *level = 250;
        }
    }
}

pub(crate) fn configure(workbench: &Workbench, part: &str, by: &str) {
    let config = read(workbench.config());
    assert!(config.contains(part), "{config}");
    std::fs::write(workbench.config(), config.replace(part, by)).unwrap();
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `cxr-trainer SUBCOMMAND` in the repository's root, with one thread.
pub(crate) fn trainer(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
    command.current_dir(repository()).env("OMP_NUM_THREADS", "1").args(subcommand.split(' '));
    command
}

pub(crate) fn read(file: impl AsRef<Path>) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// Expects success and every text in the output.
pub(crate) fn succeed_with(command: &mut Command, expected: &[&str]) {
    expect_all(&succeed(command), expected);
}

/// Expects failure and every text in the output.
pub(crate) fn fail_with(command: &mut Command, expected: &[&str]) {
    expect_all(&fail(command), expected);
}

pub(crate) fn expect_all(printed: &str, expected: &[&str]) {
    for text in expected {
        assert!(printed.contains(text), "{text:?} is missing:\n{printed}");
    }
}

pub(crate) fn assert_same_tensors(expected: &Path, found_file: &Path) {
    let [expected, found] = [expected, found_file].map(|file| weights::read(file).unwrap().0);
    assert_eq!(expected.len(), found.len());
    for (name, tensor) in &expected {
        assert!(tensor.equal(&found[name]), "{}: {name} differs", found_file.display());
    }
}

/// Polls until `look` returns a value; panics after three minutes.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited three minutes for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Expects success; returns stdout and stderr.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    text(&output)
}

/// Expects failure; returns stdout and stderr.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} succeeded\n{}", text(&output));
    text(&output)
}

pub(crate) fn assert_contains(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// Reads a result of the run.
pub(crate) fn result<T: serde::de::DeserializeOwned>(workbench: &Workbench, file: &str) -> T {
    serde_json::from_slice(&std::fs::read(workbench.run().join(file)).unwrap()).unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Checks a bundle with `cxr-trainer verify` and `register` and with the service.
pub(crate) fn assert_accepted(bundle: &Path) {
    let key = repository().join("config/development-signing-key.pub.pem");
    let folder = TempDir::new().unwrap();
    // A registry of its own, which no other test has written to.
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, format!("trainer: {{ tracking: {{ store: {} }} }}", folder.path().display()))
        .unwrap();
    let checked = |subcommand: &str| {
        let mut command = trainer(subcommand);
        command.arg(bundle).arg("--public-key").arg(&key).arg("--onnxruntime").arg(onnxruntime());
        command
    };
    succeed(&mut checked("verify"));
    let run = folder.path().join("run");
    let printed = succeed(checked("register").arg("--config").arg(&config).arg("--run").arg(run));
    assert!(printed.contains("registered"), "{printed}");
    let service = || {
        let mut command = Command::new(binary());
        command.current_dir(repository()).env("CXR_PROFILE", "development");
        command.env("CXR_SERVICE__DATABASE__URL", "postgres://user@localhost/none");
        command.env("CXR_SERVICE__MODEL__BUNDLE", bundle);
        command
    };
    succeed(service().args(["bundle", "verify", "--public-key"]).arg(&key).arg(bundle));
    succeed(service().arg("check-config"));
}

/// Labels as a site keeps them, whose log odds are `scale` x logit + `bias`; deterministic.
pub(crate) fn site_labels(n: usize, scale: f64, bias: f64, digest: &str) -> String {
    let mut text = String::from("id,outcome,logit,label,subject,bundle_digest\n");
    for i in 0..n {
        // A low-discrepancy pair (Roberts 2018): logits evenly spread, labels with exactly the right shares.
        let (u, v) = ((i as f64 * 0.754_877_666).fract(), (i as f64 * 0.569_840_290_9).fract());
        let logit = 12.0 * u - 6.0;
        let label = u8::from(v < 1.0 / (1.0 + (-scale * logit - bias).exp()));
        writeln!(text, "{i},predicted,{logit:.6},{label},s{},{digest}", i / 2).unwrap();
    }
    text
}

/// ONNX Runtime's library.
pub(crate) fn onnxruntime() -> PathBuf {
    std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH: scripts/onnxruntime.sh prints it").into()
}

fn configuration(epochs: usize, folder: &Path) -> String {
    format!(
        "
trainer:
  seed: {seed}
  data: {{ name: generated phantoms, classes: {{ NORMAL: negative, PNEUMONIA: positive }}, cache: {cache},
    select_fraction: 0.2, calibrate_fraction: 0.2 }}
  acceptance: {{ min_side_px: {SIDE} }}
  preprocess: {{ width: {SIDE}, height: {SIDE} }}
  model: {{ architecture: mobilenetv2, weights: null, dropout: 0.0 }}
  training:
    epochs: {epochs}
    batch_size: 8
    learning_rate: 3.0e-3
    average_decay: 0.8
    patience: {epochs}
    precision: fp32
    workers: 2
    loss: {{ label_smoothing: 0.0 }}
  augmentation: {{ rotation_degrees: 5.0, translation: 0.05, scale: [0.95, 1.05], aspect: 0.05, gamma: 0.1, contrast: 0.1,
    brightness: 0.05, noise: 0.01, frame_probability: 0.0, occlusion_probability: 0.1, letters_probability: 0.1,
    warp_probability: 0.8, detail_probability: 0.2, jpeg_probability: 0.2 }}
  stored_jpeg_quality: 75
  calibration: {{ target_sensitivity: 0.9, components: 8, ood_images: null, min_per_class: 2 }}
  evaluation: {{ resamples: 200, ledger: {ledger}, external: null }}
  export: {{ directory: {bundle}, name: cxr-pneumonia, originals: null, int8: true, int8_images: 16, int8_max_flips: 0.5,
    intended_use: {{ statement: Tests of the trainer on generated phantoms., age_years: [1.0, 5.0], views: [AP], modalities: [CR, DX, RG] }} }}
  robustness: {{ severities: [3] }}
  tracking: {{ store: {store} }}
  gates: {{ min_images: {{ train: 8, select: 2, calibrate: 2, test: 2 }}, min_patients: null, min_auc: 0.0, min_sensitivity: 0.0,
    min_specificity: 0.0, target_sensitivity: false, external: {{ required: false }}, max_corruption_loss: null,
    max_border_auc: null, max_shortcut_loss: null }}
",
        seed = seed(),
        cache = folder.join("cache").display(),
        ledger = folder.join("ledger.jsonl").display(),
        bundle = folder.join("bundle").display(),
        store = folder.join("mlruns").display(),
    )
}
