//! Arbitrary bytes as an identity provider's key set: keys, or an error that quotes nothing of the set.

#![no_main]

use cxr_service::auth::fuzzing::usable_keys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|set: &[u8]| {
    match usable_keys(set) {
        Ok(n_keys) => assert!(n_keys > 0, "a set without a key is refused"),
        Err(error) => assert!(error.to_string().len() < 100),
    }
});
