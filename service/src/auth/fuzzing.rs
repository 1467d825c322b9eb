//! A door for the fuzzer to what is private here (`fuzz/`); only its builds have it.

use super::keys;
use super::keys::SetError;

/// How many keys of a JSON Web Key Set could verify a token.
///
/// # Errors
/// As where the service reads a set.
pub fn usable_keys(set: &[u8]) -> Result<usize, SetError> {
    keys::parse_set(set).map(|keys| keys.len())
}
