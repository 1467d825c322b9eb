//! The compute device: the CPU, or a GPU whose libraries are loaded on demand.

use anyhow::{Context, Result, bail, ensure};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::c_void;
use std::str::FromStr;
use tch::{Cuda, Device};

/// Not linked, so that the program also runs on machines without a GPU.
const CUDA_LIBRARY: &str = "libtorch_cuda.so";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    Cpu,
    /// Number of the GPU.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => Ok(Self::Cuda(number.parse().context("cuda:N takes a number")?)),
            _ => bail!("{text:?} is not a device: use cpu, cuda or cuda:N"),
        }
    }
}

impl DeviceChoice {
    /// Checks that the device exists. A missing GPU is an error; there is no fallback to the CPU.
    pub fn open(self) -> Result<Device> {
        let Self::Cuda(number) = self else { return Ok(Device::Cpu) };
        // SAFETY: the initialisers are the same as if the library was linked.
        let library = unsafe { Library::open(Some(CUDA_LIBRARY), RTLD_NOW | RTLD_GLOBAL) };
        let library = library.with_context(|| {
            format!("--device cuda: {CUDA_LIBRARY} cannot be loaded; put the lib folder of a CUDA build of libtorch on LD_LIBRARY_PATH")
        })?;
        // Tensors need its kernels for the rest of the process.
        std::mem::forget(library);
        ensure!(
            Cuda::is_available(),
            "--device cuda: libtorch finds no usable GPU (driver missing or too old?)"
        );
        let n_devices = Cuda::device_count() as usize;
        ensure!(number < n_devices, "--device cuda:{number}: there are {n_devices} GPUs, counted from 0");
        Ok(Device::Cuda(number))
    }
}

// Symbols of libtorch 2.11 for functions of ATen/Context.h without a binding in tch.
const GLOBAL_CONTEXT: &[u8] = b"_ZN2at13globalContextEv";
const SET_ALGORITHMS: &[u8] = b"_ZN2at7Context26setDeterministicAlgorithmsEbb";
const SET_FILL: &[u8] = b"_ZN2at7Context39setDeterministicFillUninitializedMemoryEb";

/// Selects deterministic algorithms in libtorch for the whole process, or lets cuDNN choose the fastest. An
/// operation without a deterministic algorithm is an error on a CPU and a warning on a GPU, as is a missing
/// `CUBLAS_WORKSPACE_CONFIG`. Results still depend on the hardware, the version of libtorch and the number of
/// threads.
pub fn set_deterministic(deterministic: bool, device: Device) -> Result<()> {
    Cuda::cudnn_set_benchmark(!deterministic);
    let process = Library::this();
    // SAFETY: the signatures match ATen/Context.h. `globalContext()` returns a reference to a static object,
    // and the Itanium ABI passes the object of a member function as first argument.
    let set = || unsafe {
        let context = process.get::<unsafe extern "C" fn() -> *mut c_void>(GLOBAL_CONTEXT)?();
        let algorithms = process.get::<unsafe extern "C" fn(*mut c_void, bool, bool)>(SET_ALGORITHMS)?;
        algorithms(context, deterministic, device != Device::Cpu);
        // Filling fresh memory with NaN only helps to debug libtorch, and takes time.
        process.get::<unsafe extern "C" fn(*mut c_void, bool)>(SET_FILL)?(context, false);
        Ok::<(), libloading::Error>(())
    };
    set().context("trainer.training.deterministic: this libtorch has no deterministic mode")
}
