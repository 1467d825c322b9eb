//! The inputs of the check: programs, libraries, data. Everything missing is reported at once, at the start.

use super::Args;
use super::dataset::{CLASSES, images};
use crate::device::ProviderName;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pretrained weights beside the data.
const WEIGHTS: &str = "weights/mobilenetv2-imagenet.safetensors";
/// The network of these weights.
const PRETRAINED: &str = "mobilenetv2-expanded";

/// Minimum images per class for three folds of whole patients.
const MIN_IMAGES: usize = 24;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) device: ProviderName,
    pub(super) device_id: i32,
    pub(super) root: PathBuf,
    pub(super) trainer: PathBuf,
    pub(super) service: PathBuf,
    pub(super) loadtest: PathBuf,
    pub(super) onnxruntime: PathBuf,
    pub(super) library_path: OsString,
    pub(super) data: PathBuf,
    pub(super) weights: Option<PathBuf>,
    pub(super) work: PathBuf,
    pub(super) log: PathBuf,
}

impl Host {
    /// Resolves the inputs and creates the output folders; the error lists everything that is missing.
    pub(super) fn find(args: &Args) -> Result<Self> {
        let mut search = Search { missing: Vec::new() };
        let root = search.root(&args.root);
        let [trainer, service, loadtest] =
            ["cxr-trainer", "cxr-service", "cxr-loadtest"].map(|name| search.file("--bin", &args.bin, name));
        let (onnxruntime, folders) = search.libraries(args);
        let (data, weights) = (search.data(args), search.weights(args));
        if !search.missing.is_empty() {
            bail!("not started; missing:\n  {}", search.missing.join("\n  "));
        }
        for folder in [&args.out, &args.work] {
            let created = std::fs::create_dir_all(folder);
            created.with_context(|| format!("{}: cannot be created", folder.display()))?;
        }
        // The report of an earlier run must not be mistaken for this one's.
        let reports = ["gpu-check.md", "gpu-check.json"].map(|name| args.out.join(name));
        for report in reports.iter().filter(|report| report.exists()) {
            let removed = std::fs::remove_file(report);
            removed.with_context(|| format!("{}: cannot be removed", report.display()))?;
        }
        let log = args.out.canonicalize()?.join("gpu-check.log");
        std::fs::write(&log, "").with_context(|| format!("{}: cannot be written", log.display()))?;
        Ok(Self {
            device: args.device,
            device_id: args.device_id,
            root,
            trainer,
            service,
            loadtest,
            onnxruntime,
            library_path: library_path(&folders)?,
            data,
            weights,
            work: args.work.canonicalize()?,
            log,
        })
    }

    /// The device in the trainer's syntax.
    pub(super) fn trainer_device(&self) -> String {
        match self.device {
            ProviderName::Cpu => "cpu".to_owned(),
            ProviderName::Cuda => format!("cuda:{}", self.device_id),
        }
    }

    /// Precision of the training's convolutions: bf16 on a GPU; a CPU without it is slow in it.
    pub(super) const fn training_precision(&self) -> &'static str {
        match self.device {
            ProviderName::Cpu => "fp32",
            ProviderName::Cuda => "bf16",
        }
    }

    pub(super) fn summary(&self) -> String {
        let weights =
            self.weights.as_ref().map_or("none, random ones".into(), |file| file.display().to_string());
        format!(
            "device {}\nONNX Runtime {}\ndata {}\nweights {weights}\nwork {}",
            self.trainer_device(),
            self.onnxruntime.display(),
            self.data.display(),
            self.work.display()
        )
    }
}

/// Searches for inputs and collects the missing ones.
struct Search {
    missing: Vec<String>,
}

impl Search {
    fn root(&mut self, root: &Path) -> PathBuf {
        for needed in ["config/development-signing-key.pem", "scripts/private-postgres.sh"] {
            if !root.join(needed).is_file() {
                self.missing.push(format!("{needed} in --root {}", root.display()));
            }
        }
        absolute(root).unwrap_or_default()
    }

    fn file(&mut self, option: &str, folders: &[PathBuf], name: &str) -> PathBuf {
        let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        self.found(found, || format!("{name} in {option} {}", shown(folders)))
    }

    /// The absolute path; a missing one is recorded.
    fn found(&mut self, path: Option<PathBuf>, missing: impl FnOnce() -> String) -> PathBuf {
        path.and_then(|path| absolute(&path)).unwrap_or_else(|| {
            self.missing.push(missing());
            PathBuf::new()
        })
    }

    /// `libonnxruntime.so`, or the file with a version suffix.
    fn onnxruntime(&mut self, folders: &[PathBuf]) -> PathBuf {
        let is_library = |name: &str| name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.");
        let found = folders.iter().find_map(|folder| {
            let files =
                std::fs::read_dir(folder).ok()?.filter_map(|file| file.ok()?.file_name().into_string().ok());
            files.filter(|name| is_library(name)).min_by_key(String::len).map(|name| folder.join(name))
        });
        self.found(found, || format!("libonnxruntime.so in --libs {}", shown(folders)))
    }

    /// ONNX Runtime, and all folders for the library path of the programs.
    fn libraries(&mut self, args: &Args) -> (PathBuf, Vec<PathBuf>) {
        let on_gpu = args.device == ProviderName::Cuda;
        let onnxruntime = self.onnxruntime(&args.libs);
        let beside: Vec<PathBuf> = onnxruntime.parent().map(Path::to_owned).into_iter().collect();
        if on_gpu && onnxruntime != Path::new("") {
            for name in ["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"] {
                self.file("the folder of libonnxruntime.so,", &beside, name);
            }
        }
        let torch = self.torch(&args.libs, on_gpu);
        let mut folders: Vec<PathBuf> = args.libs.iter().filter_map(|folder| absolute(folder)).collect();
        folders.extend(beside);
        folders.extend(torch.clone());
        folders.extend(torch.iter().flat_map(|folder| packaged_cuda(folder)));
        (onnxruntime, folders)
    }

    /// The folder of libtorch, from `--libs` or from python3's torch.
    fn torch(&mut self, folders: &[PathBuf], on_gpu: bool) -> Option<PathBuf> {
        let all = ["libtorch_cpu.so", "libc10.so", "libtorch_cuda.so"];
        let needed = if on_gpu { &all[..] } else { &all[..2] };
        let has_all = |folder: &PathBuf| needed.iter().all(|name| folder.join(name).is_file());
        let found = folders.iter().find(|folder| has_all(folder)).cloned();
        let found = found.or_else(|| python_torch().filter(has_all));
        if found.is_none() {
            let nowhere = |name: &&&str| !folders.iter().any(|folder| folder.join(name).is_file());
            let names: Vec<&str> = needed.iter().filter(nowhere).copied().collect();
            let names = if names.is_empty() { needed } else { &names };
            let (names, folders) = (names.join(", "), shown(folders));
            self.missing.push(format!("{names} in one folder of --libs {folders} or in python3's torch"));
        }
        found.and_then(|folder| absolute(&folder))
    }

    /// The given file, or the one beside the data if it fits the network.
    fn weights(&mut self, args: &Args) -> Option<PathBuf> {
        let beside = args.data.join("..").join(WEIGHTS);
        let beside = (args.architecture == PRETRAINED).then_some(beside).filter(|file| file.is_file());
        let file = args.weights.clone().or(beside)?;
        let found = absolute(&file);
        if found.is_none() {
            self.missing.push(format!("--weights {}", file.display()));
        }
        found
    }

    /// The folder with the class folders: always `train`, so that a test split is never used.
    fn data(&mut self, args: &Args) -> PathBuf {
        let folder = args.data.join("train");
        for class in CLASSES.map(|class| folder.join(class)) {
            let name = class.display();
            match images(&class).map(|images| images.len()) {
                Err(_) => self.missing.push(format!("the folder {name} (--data)")),
                Ok(n) if n < MIN_IMAGES => {
                    let need = format!("the folds need at least {MIN_IMAGES}");
                    self.missing.push(format!("images in {name}: found {n}, {need}"));
                }
                Ok(_) => {}
            }
        }
        if (1..MIN_IMAGES).contains(&args.images()) {
            self.missing.push(format!("--images: at least {MIN_IMAGES} per class, or 0 for all"));
        }
        absolute(&folder).unwrap_or_default()
    }
}

/// The library folder of python3's torch.
fn python_torch() -> Option<PathBuf> {
    let script = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(Path::new(printed.trim()).join("lib"))
}

/// The CUDA libraries of a PyTorch that was installed from wheels: `nvidia/*/lib` beside `torch`.
fn packaged_cuda(torch: &Path) -> Vec<PathBuf> {
    let Ok(packages) = std::fs::read_dir(torch.join("../../nvidia")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = packages
        .filter_map(|package| absolute(&package.ok()?.path().join("lib")))
        .filter(|folder| folder.is_dir())
        .collect();
    folders.sort();
    folders
}

fn library_path(folders: &[PathBuf]) -> Result<OsString> {
    let inherited = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let inherited = std::env::split_paths(&inherited).filter(|folder| folder != Path::new(""));
    let all: Vec<PathBuf> = folders.iter().cloned().chain(inherited).collect();
    std::env::join_paths(all).context("the path of a library folder contains a colon")
}

fn absolute(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

fn shown(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    if folders.is_empty() { "(not given)".to_owned() } else { folders.join(":") }
}
