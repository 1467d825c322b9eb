//! Access for the fuzz targets (`fuzz/`) to private functions; compiled only for them.

use super::keys;
use super::keys::SetError;

/// Number of keys in a JSON Web Key Set that can verify a token.
pub fn usable_keys(set: &[u8]) -> Result<usize, SetError> {
    keys::parse_set(set).map(|keys| keys.len())
}
