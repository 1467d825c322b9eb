//! Certificates and keys, created with openssl as operators do.

use std::path::Path;
use std::process::Command;

/// Options of `req` for a new P-256 key without a passphrase.
pub const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Runs openssl in a folder; arguments are separated by white space.
///
/// # Panics
/// When it fails.
pub fn run(folder: &Path, arguments: &str) {
    let arguments = arguments.split_whitespace();
    let done =
        Command::new("openssl").args(arguments.clone()).current_dir(folder).output().expect("openssl runs");
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}: {stderr}", arguments.collect::<Vec<_>>().join(" "));
}

/// Creates a self-signed certificate for 127.0.0.1, valid for two days, in `NAME.pem`, and its key in
/// `NAME.key`.
pub fn certificate(folder: &Path, name: &str) {
    run(
        folder,
        &format!(
            "req -x509 {NEW_KEY} -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout {name}.key -out {name}.pem"
        ),
    );
}
