//! Arbitrary tokens: verified or refused. The first byte gives the kind of the rest: `r` a token as it is,
//! `c` claims under a valid header, otherwise a header, a zero byte and claims. Headers and claims are signed
//! with the verifier's own secret, which a fuzzer would not guess.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use cxr_service::auth::{Actor, TokenError, Verifier};
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::sync::LazyLock;

const SECRET: &str = "a secret that only the fuzzer knows, 32 bytes or more";

/// HS256, and one public key each for RS256, ES256 and EdDSA.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/jwks/public-keys.json");
    let config = serde_json::from_value(json!({
        "issuer": "https://fuzz.invalid",
        "audience": "cxr",
        "leeway_seconds": 60,
        "keys": [{ "jwks_file": keys }],
        "jwks": {
            "refresh_ms": 60_000,
            "min_interval_ms": 60_000,
            "keep_ms": 120_000,
            "timeout_ms": 1000,
            "authorities_file": null,
        },
        "scopes": { "claims": ["scope", "scp"], "prefixes": [], "names": [] },
        "hs256_secret": SECRET,
        "hs256_secret_file": null,
    }));
    Verifier::new(&config.expect("a complete section")).expect("the keys of the corpus")
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let good = br#"{"alg":"HS256","typ":"JWT"}"#.as_slice();
    let token = match kind {
        b'r' => match str::from_utf8(rest) {
            Ok(token) => token.to_owned(),
            Err(_) => return,
        },
        b'c' => signed(good, rest),
        _ => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            signed(&rest[..end], rest.get(end + 1..).unwrap_or_default())
        }
    };
    let verified: Result<Actor, TokenError> =
        VERIFIER.verify(&token).now_or_never().expect("no key set is fetched");
    match verified {
        Ok(actor) => {
            let subject = actor.sub();
            assert!((1..=128).contains(&subject.len()) && !subject.chars().any(char::is_control));
        }
        // The client gets a fixed text.
        Err(error) => assert!(error.to_string().is_ascii()),
    }
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature =
        crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("HMAC takes every message");
    format!("{message}.{signature}")
}
