//! Microsoft's builds of ONNX Runtime send telemetry: they keep a database in the user's cache folder and
//! connect to the vendor. `with_telemetry(false)` does not stop this; an environment variable that the
//! library reads when it is loaded does.

use crate::error::RuntimeError;

/// Disables the library's telemetry if it is `1`.
const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
const DISABLED: &str = "1";

/// Whether telemetry is disabled in a library loaded now.
pub(crate) fn is_disabled() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == DISABLED)
}

/// Disables ONNX Runtime's telemetry. Call it first in `main`: otherwise [`crate::Runtime::load`] fails.
/// It fails while other threads are running.
pub fn disable_telemetry() -> Result<(), RuntimeError> {
    if is_disabled() {
        return Ok(());
    }
    let n_threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if n_threads != 1 {
        return Err(RuntimeError::Telemetry);
    }
    // SAFETY: this is the only thread, so no other one accesses the environment.
    unsafe { std::env::set_var(VARIABLE, DISABLED) };
    Ok(())
}
