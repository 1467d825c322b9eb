//! What the check is given: programs, libraries, data. All that is missing is said at once, before anything is started.

use super::Args;
use super::dataset::{CLASSES, images};
use crate::device::ProviderName;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Weights that are looked for beside the data.
const WEIGHTS: &str = "weights/mobilenetv2-imagenet.safetensors";
/// The network that they are for.
const PRETRAINED: &str = "mobilenetv2-expanded";

/// Images of a class that three folds of whole patients need.
const MIN_IMAGES: usize = 24;

/// Everything, found.
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
    /// Folder that holds the class folders.
    pub(super) data: PathBuf,
    pub(super) weights: Option<PathBuf>,
    pub(super) work: PathBuf,
    pub(super) log: PathBuf,
}

impl Host {
    /// Finds everything and makes the folders.
    ///
    /// # Errors
    /// Lists all that is missing.
    pub(super) fn find(args: &Args) -> Result<Self> {
        let mut search = Search { missing: Vec::new() };
        let root = search.root(&args.root);
        let [trainer, service, loadtest] =
            ["cxr-trainer", "cxr-service", "cxr-loadtest"].map(|name| search.file("--bin", &args.bin, name));
        let (onnxruntime, folders) = search.libraries(args);
        let (data, weights) = (search.data(args), search.weights(args));
        if !search.missing.is_empty() {
            bail!("not begun, this is missing:\n  {}", search.missing.join("\n  "));
        }
        for folder in [&args.out, &args.work] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{}: cannot be created", folder.display()))?;
        }
        // The report of an earlier run must not be taken for this one's.
        for report in ["gpu-check.md", "gpu-check.json"].map(|name| args.out.join(name)) {
            if report.exists() {
                std::fs::remove_file(&report)
                    .with_context(|| format!("{}: cannot be removed", report.display()))?;
            }
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

    /// The trainer's word for the device.
    pub(super) fn trainer_device(&self) -> String {
        match self.device {
            ProviderName::Cpu => "cpu".to_owned(),
            ProviderName::Cuda => format!("cuda:{}", self.device_id),
        }
    }

    /// Precision of the training's convolutions: a GPU has bf16, and a processor without it computes it slowly.
    pub(super) const fn training_precision(&self) -> &'static str {
        match self.device {
            ProviderName::Cpu => "fp32",
            ProviderName::Cuda => "bf16",
        }
    }

    /// What was found, for the beginning.
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

/// Looks for things and remembers what is not there.
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
        found.and_then(|path| absolute(&path)).unwrap_or_else(|| {
            self.missing.push(format!("{name} in {option} {}", shown(folders)));
            PathBuf::new()
        })
    }

    /// `libonnxruntime.so`, or the file with the version in its name.
    fn onnxruntime(&mut self, folders: &[PathBuf]) -> PathBuf {
        let is_library = |name: &str| name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.");
        let found = folders.iter().find_map(|folder| {
            let files =
                std::fs::read_dir(folder).ok()?.filter_map(|file| file.ok()?.file_name().into_string().ok());
            files.filter(|name| is_library(name)).min_by_key(String::len).map(|name| folder.join(name))
        });
        found.and_then(|path| absolute(&path)).unwrap_or_else(|| {
            self.missing.push(format!("libonnxruntime.so in --libs {}", shown(folders)));
            PathBuf::new()
        })
    }

    /// ONNX Runtime, and every folder that programs must find libraries in.
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
        let needed: &[&str] = if on_gpu {
            &["libtorch_cpu.so", "libc10.so", "libtorch_cuda.so"]
        } else {
            &["libtorch_cpu.so", "libc10.so"]
        };
        let has_all = |folder: &PathBuf| needed.iter().all(|name| folder.join(name).is_file());
        let found = folders.iter().find(|folder| has_all(folder)).cloned();
        let found = found.or_else(|| python_torch().filter(has_all));
        if found.is_none() {
            let nowhere = |name: &&&str| !folders.iter().any(|folder| folder.join(name).is_file());
            let names: Vec<&str> = needed.iter().filter(nowhere).copied().collect();
            let names = if names.is_empty() { needed } else { &names };
            self.missing.push(format!(
                "{} in one folder of --libs {} or in python3's torch",
                names.join(", "),
                shown(folders)
            ));
        }
        found.and_then(|folder| absolute(&folder))
    }

    /// The file given, or the one beside the data for the network that it fits.
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

    /// The folder of the class folders: always `train`, so that nobody hands over a test split.
    fn data(&mut self, args: &Args) -> PathBuf {
        let folder = args.data.join("train");
        for class in CLASSES.map(|class| folder.join(class)) {
            match images(&class) {
                Err(_) => self.missing.push(format!("the folder {} (--data)", class.display())),
                Ok(found) if found.len() < MIN_IMAGES => self.missing.push(format!(
                    "images in {}: there are {}, the folds need {MIN_IMAGES} or more",
                    class.display(),
                    found.len()
                )),
                Ok(_) => {}
            }
        }
        if (1..MIN_IMAGES).contains(&args.images()) {
            self.missing.push(format!("--images of {MIN_IMAGES} or more of a class, or 0 for all"));
        }
        absolute(&folder).unwrap_or_default()
    }
}

/// Where python3's torch has its libraries.
fn python_torch() -> Option<PathBuf> {
    let script = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(Path::new(printed.trim()).join("lib"))
}

/// CUDA's own libraries where PyTorch was installed from wheels: `nvidia/*/lib` beside `torch`.
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
    std::env::join_paths(all).context("a folder of libraries has a colon in its name")
}

fn absolute(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

fn shown(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    if folders.is_empty() { "(not given)".to_owned() } else { folders.join(":") }
}
