//! The hardware and system of the host.

use super::inputs::Host;
use super::program::Program;
use crate::device::ProviderName;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::time::Duration;

const RELEVANT_FLAGS: [&str; 8] =
    ["avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "hypervisor"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// One line per GPU from nvidia-smi: name, memory, compute capability.
    pub gpus: Vec<String>,
    pub driver: Option<String>,
    /// Newest CUDA version that the driver supports.
    pub cuda: Option<String>,
    pub processor: String,
    /// Hardware threads available to this process.
    pub threads: usize,
    pub flags: Vec<String>,
    pub memory_mib: u64,
    pub system: String,
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gpus = if self.gpus.is_empty() { "no GPU".to_owned() } else { self.gpus.join("; ") };
        write!(f, "{gpus}; {}, {} threads, {} MiB", self.processor, self.threads, self.memory_mib)
    }
}

impl Hardware {
    /// Reads the hardware. Without nvidia-smi, this is an error only on a GPU host.
    pub(super) fn read(host: &Host, limit: Duration) -> Result<Self> {
        let gpu = Gpu::read(host, limit);
        let gpu = match (gpu, host.device) {
            (Ok(gpu), _) => gpu,
            (Err(error), ProviderName::Cuda) => return Err(error),
            (Err(_), ProviderName::Cpu) => Gpu::default(),
        };
        let information = text("/proc/cpuinfo");
        let flags = field(&information, "flags").unwrap_or_default();
        let has = |flag: &&str| flags.split_whitespace().any(|found| found == *flag);
        let memory_kib = field(&text("/proc/meminfo"), "MemTotal")
            .and_then(|value| value.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()));
        let release = text("/etc/os-release");
        let distribution = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Ok(Self {
            gpus: gpu.lines,
            driver: gpu.driver,
            cuda: gpu.cuda,
            processor: field(&information, "model name").unwrap_or_else(|| "unknown".to_owned()),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            flags: RELEVANT_FLAGS.iter().filter(|flag| has(flag)).map(|flag| (*flag).to_owned()).collect(),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            system: format!(
                "Linux {}, {}",
                text("/proc/sys/kernel/osrelease").trim(),
                distribution.unwrap_or("unknown distribution").trim_matches('"')
            ),
        })
    }

    /// Whether the processor has 8-bit dot products, without which int8 is not faster.
    pub(super) fn has_vnni(&self) -> bool {
        self.flags.iter().any(|flag| flag == "avx512_vnni" || flag == "avx_vnni")
    }
}

#[derive(Debug, Default)]
struct Gpu {
    lines: Vec<String>,
    driver: Option<String>,
    cuda: Option<String>,
}

impl Gpu {
    fn read(host: &Host, limit: Duration) -> Result<Self> {
        let tool = || Program::new(host, Path::new("nvidia-smi"), limit);
        let query = "--query-gpu=name,memory.total,compute_cap,driver_version";
        let printed = tool().args(&[query, "--format=csv,noheader"]).run().context("the GPU's driver")?;
        let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
        let split = |line: &&str| {
            line.rsplit_once(',').map(|(gpu, driver)| (gpu.trim().to_owned(), driver.trim().to_owned()))
        };
        let found: Vec<(String, String)> = lines.iter().filter_map(split).collect();
        let table = tool().run().unwrap_or_default();
        let cuda = table.split_once("CUDA Version:").and_then(|(_, rest)| rest.split_whitespace().next());
        Ok(Self {
            driver: found.first().map(|(_, driver)| driver.clone()),
            lines: found.into_iter().map(|(gpu, _)| gpu).collect(),
            cuda: cuda.map(str::to_owned),
        })
    }
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let named = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(named)
}
