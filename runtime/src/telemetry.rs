//! The telemetry that Microsoft's builds of ONNX Runtime carry: a database in the user's cache folder and connections to the vendor.
//! `with_telemetry(false)` does not stop it; a variable that the library finds when it is loaded does.

use crate::error::RuntimeError;

/// Stops the library's telemetry when it is `1`.
const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
const DISABLED: &str = "1";

/// Whether the library, loaded now, would keep silent.
pub(crate) fn is_disabled() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == DISABLED)
}

/// Disables ONNX Runtime's telemetry for this process and those that it starts. Call it first in `main`: [`crate::Runtime::load`]
/// refuses to load the library otherwise.
///
/// # Errors
/// `Telemetry` where other threads run already.
pub fn disable_telemetry() -> Result<(), RuntimeError> {
    if is_disabled() {
        return Ok(());
    }
    if n_threads() != Some(1) {
        return Err(RuntimeError::Telemetry);
    }
    // SAFETY: no other thread reads or writes the environment, because there is none.
    unsafe { std::env::set_var(VARIABLE, DISABLED) };
    Ok(())
}

fn n_threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
