//! Which algorithms libtorch may choose. tch has no binding for it, so the functions of libtorch's own library are
//! called by name.
//!
//! On the processor training gives the same bits twice either way, with the same number of threads; deterministic mode
//! then proves that no operation without that property is used. On a GPU cuDNN may not time its algorithms against each
//! other, an operation without a deterministic implementation is an error, and cuBLAS needs a fixed workspace. It does
//! not make two kinds of hardware, two versions of libtorch or two numbers of threads agree.

use anyhow::{Context, Result, ensure};
use libloading::os::unix::Library;
use std::ffi::c_void;
use tch::{Cuda, Device};

/// What cuBLAS must find in the environment before its first use, and the value that libtorch's manual gives.
const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");

// The names under which C++ compilers of the Itanium ABI export the functions of ATen/Context.h.
const GLOBAL_CONTEXT: &[u8] = b"_ZN2at13globalContextEv";
const SET_ALGORITHMS: &[u8] = b"_ZN2at7Context26setDeterministicAlgorithmsEbb";
const SET_CUDNN: &[u8] = b"_ZN2at7Context21setDeterministicCuDNNEb";
const SET_FILL: &[u8] = b"_ZN2at7Context39setDeterministicFillUninitializedMemoryEb";
const ALGORITHMS: &[u8] = b"_ZNK2at7Context23deterministicAlgorithmsEv";

type Setter = unsafe extern "C" fn(*mut c_void, bool);

/// Sets the mode of the whole process. Without it cuDNN times its algorithms and takes the fastest.
///
/// # Errors
/// When this libtorch cannot be asked, or the environment lacks what cuBLAS needs.
pub fn choose(deterministic: bool, device: Device) -> Result<()> {
    if device != Device::Cpu {
        Cuda::cudnn_set_benchmark(!deterministic);
    }
    if !deterministic {
        return Ok(());
    }
    let (variable, value) = CUBLAS_WORKSPACE;
    ensure!(
        device == Device::Cpu || std::env::var_os(variable).is_some(),
        "trainer.training.deterministic: on a GPU start with {variable}={value} in the environment"
    );
    let took = set_deterministic()
        .context("trainer.training.deterministic: this build of libtorch has no deterministic mode")?;
    ensure!(took, "trainer.training.deterministic: libtorch did not take it");
    Ok(())
}

/// Turns the mode on and says what libtorch says afterwards.
fn set_deterministic() -> Result<bool> {
    let process = Library::this();
    // SAFETY: the types are those of ATen/Context.h in libtorch 2.11: `Context& globalContext()` and member functions of
    // `Context`, which the Itanium ABI calls with the object as first argument. The object lives as long as the process.
    unsafe {
        let context = process.get::<unsafe extern "C" fn() -> *mut c_void>(GLOBAL_CONTEXT)?();
        let algorithms = process.get::<unsafe extern "C" fn(*mut c_void, bool, bool)>(SET_ALGORITHMS)?;
        // The second flag would only warn of an operation without a deterministic algorithm.
        algorithms(context, true, false);
        process.get::<Setter>(SET_CUDNN)?(context, true);
        // Filling fresh memory with NaN finds reads of it in other people's kernels, at the cost of writing it.
        process.get::<Setter>(SET_FILL)?(context, false);
        Ok(process.get::<unsafe extern "C" fn(*const c_void) -> bool>(ALGORITHMS)?(context))
    }
}
