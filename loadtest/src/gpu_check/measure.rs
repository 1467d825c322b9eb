//! The model without the service: `cxr-loadtest device`, and PyTorch on the same device.

use super::Args;
use super::inputs::Host;
use super::journal::{Journal, NotRun};
use super::program::Program;
use super::report::Report;
use super::train::read_json;
use crate::device::{Measurement, ProviderName};
use anyhow::Result;
use cxr::bundle::Manifest;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::Duration;

const TORCH: &str = "loadtest/peer/torch_infer.py";
/// Batch sizes on a CPU; larger ones are not faster.
const CPU_BATCHES: &str = "1,8";

pub(super) struct Measured<'a> {
    pub(super) host: &'a Host,
    pub(super) args: &'a Args,
    pub(super) bundle: &'a Path,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |cell: &crate::device::Cell| {
            format!("batch {} {:.1} images/s", cell.batch, cell.service.images_per_second)
        };
        write!(f, "{}", self.cells.iter().map(of).collect::<Vec<_>>().join(", "))?;
        match &self.against_cpu {
            Some(difference) => write!(f, "; against fp32 on the CPU: {difference}"),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Torch(Value);

impl fmt::Display for Torch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = (&self.0["torch"], &self.0["device"]);
        write!(f, "PyTorch {} on {}", versions.0.as_str().unwrap_or("?"), versions.1.as_str().unwrap_or("?"))
    }
}

impl Measured<'_> {
    pub(super) fn all(&self, journal: &mut Journal, report: &mut Report) {
        let variants = self.variants();
        if self.host.device == ProviderName::Cuda {
            self.device(ProviderName::Cuda, None, journal, report);
        }
        self.device(ProviderName::Cpu, None, journal, report);
        let architecture = report.devices.first().map(|found| found.architecture.clone());
        let torch = journal.step("measure PyTorch", 120, |limit| self.torch(architecture, limit));
        report.torch = torch.map(|torch| torch.0);
        for (name, precision) in variants.into_iter().filter(|(_, precision)| precision != "fp32") {
            let vnni = report.hardware.as_ref().is_some_and(super::hardware::Hardware::has_vnni);
            if precision == "int8" && !vnni {
                let step = format!("measure cpu {name}");
                journal.not_run(&step, "the processor has no VNNI, so int8 would not be faster");
            } else {
                self.device(ProviderName::Cpu, Some(&name), journal, report);
            }
        }
    }

    /// Name and precision of the variants; empty if the bundle cannot be read, which other steps report.
    fn variants(&self) -> Vec<(String, String)> {
        let manifest: Option<Manifest> = read_json(&self.bundle.join(cxr::bundle::MANIFEST)).ok();
        let variants = manifest.map(|manifest| manifest.variants).unwrap_or_default();
        variants.into_iter().map(|(name, variant)| (name, variant.precision)).collect()
    }

    fn device(
        &self,
        provider: ProviderName,
        variant: Option<&str>,
        journal: &mut Journal,
        report: &mut Report,
    ) {
        let name = format!("measure {} {}", provider.word(), variant.unwrap_or_default());
        let name = name.trim_end();
        let file = self.host.work.join(format!("{}.json", name.replace(' ', "-")));
        journal.step(name, 150, |limit| {
            let run = self.device_program(provider, variant, &file, limit).run();
            // The program also writes figures that exceed a tolerance, and they belong in the report.
            let found: Result<Measurement> = read_json(&file);
            if let Ok(found) = &found {
                report.devices.push(found.clone());
            }
            run?;
            found
        });
    }

    fn device_program(
        &self,
        provider: ProviderName,
        variant: Option<&str>,
        json: &Path,
        limit: Duration,
    ) -> Program {
        let program = Program::new(self.host, &self.host.loadtest, limit);
        let program = program.args(&["device", "--bundle"]).arg(self.bundle);
        let program = program.args(&["--provider", provider.word(), "--batches", &self.batches(provider)]);
        let program = program.args(&["--device-id", &self.host.device_id.to_string()]);
        let program = program.args(&["--seconds", &self.args.seconds.to_string()]).arg("--json").arg(json);
        variant.into_iter().fold(program, |program, variant| program.args(&["--variant", variant]))
    }

    fn torch(&self, architecture: Option<String>, limit: Duration) -> Result<Torch> {
        // PyTorch finds its own libraries.
        let python = || Program::new(self.host, &self.args.python, limit).env_remove("LD_LIBRARY_PATH");
        if python().args(&["-c", "import torch, torchvision"]).run().is_err() {
            return Err(NotRun("python3 has no torch and torchvision".to_owned()).into());
        }
        let architecture =
            architecture.ok_or_else(|| NotRun("no bundle was measured to compare it with".to_owned()))?;
        let file = self.host.work.join("torch.json");
        let batches = self.batches(self.host.device);
        let program = python().arg(self.host.root.join(TORCH)).args(&["--architecture", &architecture]);
        let program = program.args(&["--device", &self.host.trainer_device(), "--batches", &batches]);
        program.args(&["--seconds", &self.args.seconds.to_string()]).arg("--json").arg(&file).run()?;
        read_json(&file).map(Torch)
    }

    fn batches(&self, provider: ProviderName) -> String {
        match provider {
            ProviderName::Cpu => CPU_BATCHES.to_owned(),
            ProviderName::Cuda => {
                self.args.batches.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        }
    }
}
