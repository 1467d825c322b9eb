//! Token verification against good tokens and the known attacks, with keys made for each test.

use super::*;
use crate::auth::Scope;
use crate::config::auth::{KeySource, SignatureAlgorithm};
use crate::config::secret::Secret;
use crate::config::values::Checked;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, encode};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const HS256_SECRET: &str = "a secret of the test that is long enough";

/// A key pair and the folder with its `public.pem` and `jwks.json`.
struct Signer {
    folder: TempDir,
    algorithm: SignatureAlgorithm,
    private: EncodingKey,
    public_pem: String,
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

impl Signer {
    fn new(algorithm: SignatureAlgorithm) -> Self {
        let (private, public_der, mut jwk) = match algorithm {
            SignatureAlgorithm::RS256 => rsa(),
            SignatureAlgorithm::ES256 => ec(),
            SignatureAlgorithm::EdDSA => ed25519(),
        };
        jwk["kid"] = json!("first");
        let folder = tempfile::tempdir().unwrap();
        let public_pem = pem("PUBLIC KEY", &public_der);
        std::fs::write(folder.path().join("public.pem"), &public_pem).unwrap();
        std::fs::write(folder.path().join("jwks.json"), json!({ "keys": [jwk] }).to_string()).unwrap();
        Self { folder, algorithm, private, public_pem }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn verifier(&self) -> Verifier {
        let (pem_file, kid) = (Some(self.path("public.pem")), Some("first".into()));
        let source = KeySource { pem_file, kid, algorithm: Some(self.algorithm), ..KeySource::default() };
        Verifier::new(&config(&[source])).unwrap()
    }

    fn header(&self) -> Header {
        Header::new(match self.algorithm {
            SignatureAlgorithm::RS256 => Algorithm::RS256,
            SignatureAlgorithm::ES256 => Algorithm::ES256,
            SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
        })
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.private).unwrap()
    }
}

fn rsa() -> (EncodingKey, Vec<u8>, Value) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
    let jwk = json!({ "kty": "RSA", "use": "sig", "n": number(n.big_endian_without_leading_zero()),
                      "e": number(e.big_endian_without_leading_zero()) });
    let private = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap();
    let pem = pem("PRIVATE KEY", private.as_ref());
    (EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), public, jwk)
}

fn ec() -> (EncodingKey, Vec<u8>, Value) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": URL_SAFE_NO_PAD.encode(x),
                      "y": URL_SAFE_NO_PAD.encode(y) });
    (EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), public, jwk)
}

fn ed25519() -> (EncodingKey, Vec<u8>, Value) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
    let jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()) });
    (EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()), public, jwk)
}

fn config(keys: &[KeySource]) -> AuthConfig {
    let config = json!({
        "issuer": "https://idp.example",
        "audience": "cxr",
        "leeway_seconds": 30,
        "keys": keys,
        "jwks": { "refresh_ms": 1000, "min_interval_ms": 1000, "keep_ms": 1000, "timeout_ms": 1000,
                  "authorities_file": null },
        "scopes": { "claims": ["scope", "scp"], "prefixes": [], "names": [] },
        "hs256_secret": null,
        "hs256_secret_file": null,
    });
    serde_json::from_value(config).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": "https://idp.example", "aud": ["cxr", "other"], "sub": "pacs-7", "scope": "predict openid",
            "nbf": now() - 5, "exp": now() + 60 })
}

/// Good claims with a change; null takes a claim out.
fn with(change: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[test]
fn good_tokens_prove_their_actor_with_each_algorithm_and_each_kind_of_file() {
    for algorithm in [SignatureAlgorithm::RS256, SignatureAlgorithm::ES256, SignatureAlgorithm::EdDSA] {
        let signer = Signer::new(algorithm);
        let jwks_file = Some(signer.path("jwks.json"));
        let source = KeySource { jwks_file, ..KeySource::default() };
        for verifier in [signer.verifier(), Verifier::new(&config(&[source])).unwrap()] {
            let actor = verifier.verify_with_known(&signer.sign(&claims())).unwrap();
            assert_eq!(actor.sub(), "pacs-7");
            assert!(actor.has(Scope::Predict) && !actor.has(Scope::AuditRead));
            let listed = with(&json!({ "scope": null, "scp": ["audit:read"] }));
            let actor = verifier.verify_with_known(&signer.sign(&listed)).unwrap();
            assert!(actor.has(Scope::AuditRead) && !actor.has(Scope::Predict));
        }
    }
}

#[test]
fn each_claim_is_checked() {
    let signer = Signer::new(SignatureAlgorithm::EdDSA);
    let verifier = signer.verifier();
    let refused = |change: Value| verifier.verify_with_known(&signer.sign(&with(&change))).unwrap_err();
    assert_eq!(refused(json!({ "exp": now() - 31 })), TokenError::Expired);
    assert_eq!(refused(json!({ "nbf": now() + 60 })), TokenError::NotYetValid);
    assert_eq!(refused(json!({ "iss": "https://elsewhere" })), TokenError::Issuer);
    assert_eq!(refused(json!({ "iss": ["https://idp.example"] })), TokenError::Claim("iss"));
    assert_eq!(refused(json!({ "aud": "other" })), TokenError::Audience);
    for claim in ["exp", "iss", "aud", "sub"] {
        assert_eq!(refused(json!({ claim: null })), TokenError::Claim(claim), "{claim}");
    }
    assert_eq!(refused(json!({ "exp": "tomorrow" })), TokenError::Claim("exp"));
    assert_eq!(refused(json!({ "nbf": "yesterday" })), TokenError::Claim("nbf"));
    for (claim, wrong) in
        [("sub", json!(7)), ("sub", json!(["x"])), ("exp", json!({})), ("nbf", json!([])), ("aud", json!({}))]
    {
        assert_eq!(refused(json!({ claim: wrong })), TokenError::Claim(claim), "{claim}");
    }
    assert_eq!(refused(json!({ "scope": 7 })), TokenError::ScopeClaim("scope".into()));
    assert_eq!(refused(json!({ "sub": "" })), TokenError::SubjectLength);
    assert_eq!(refused(json!({ "sub": "two\nlines" })), TokenError::SubjectLookalike);
    // Within the leeway, and without nbf, which many identity providers do not give.
    for change in [json!({ "exp": now() - 20 }), json!({ "nbf": now() + 20 }), json!({ "nbf": null })] {
        assert!(verifier.verify_with_known(&signer.sign(&with(&change))).is_ok(), "{change}");
    }
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    let signer = Signer::new(SignatureAlgorithm::RS256);
    let verifier = signer.verifier();
    // The public key as an HMAC secret.
    let confused = EncodingKey::from_secret(signer.public_pem.as_bytes());
    let confused = encode(&Header::new(Algorithm::HS256), &claims(), &confused).unwrap();
    assert_eq!(verifier.verify_with_known(&confused).unwrap_err(), TokenError::NoKeyForAlgorithm);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "HS257"] {
        let unsigned = format!("{}.{}.", part(&json!({ "alg": alg, "typ": "JWT" })), part(&claims()));
        assert_eq!(verifier.verify_with_known(&unsigned).unwrap_err(), TokenError::Algorithm, "{alg}");
    }
    // The same key with another algorithm of its family.
    let rs512 = encode(&Header::new(Algorithm::RS512), &claims(), &signer.private).unwrap();
    assert_eq!(verifier.verify_with_known(&rs512).unwrap_err(), TokenError::Algorithm);
}

#[test]
fn a_token_cannot_bring_its_key() {
    let (signer, stranger) = (Signer::new(SignatureAlgorithm::EdDSA), Signer::new(SignatureAlgorithm::EdDSA));
    let verifier = signer.verifier();
    assert_eq!(verifier.verify_with_known(&stranger.sign(&claims())).unwrap_err(), TokenError::Signature);
    let set: Value = serde_json::from_slice(&std::fs::read(stranger.path("jwks.json")).unwrap()).unwrap();
    let jwk = serde_json::from_value(set["keys"][0].clone()).unwrap();
    let headers = [
        Header { jwk: Some(jwk), ..signer.header() },
        Header { jku: Some("https://evil.example/jwks".into()), ..signer.header() },
        Header { x5u: Some("https://evil.example/x5u".into()), ..signer.header() },
        Header { crit: Some(vec!["exp".into()]), ..signer.header() },
    ];
    for header in headers {
        let token = encode(&header, &claims(), &stranger.private).unwrap();
        assert_eq!(verifier.verify_with_known(&token).unwrap_err(), TokenError::ForeignKey);
    }
}

#[test]
fn a_key_id_is_respected_and_a_signature_covers_everything() {
    let signer = Signer::new(SignatureAlgorithm::ES256);
    let verifier = signer.verifier();
    let signed_as = |kid: &str| {
        encode(&Header { kid: Some(kid.into()), ..signer.header() }, &claims(), &signer.private).unwrap()
    };
    assert!(verifier.verify_with_known(&signed_as("first")).is_ok());
    assert_eq!(verifier.verify_with_known(&signed_as("second")).unwrap_err(), TokenError::UnknownKey);
    let token = signer.sign(&claims());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(with(&json!({ "sub": "admin" })).to_string());
    let swapped = verifier.verify_with_known(&format!("{header}.{other}.{signature}"));
    assert_eq!(swapped.unwrap_err(), TokenError::Signature);
    assert_eq!(verifier.verify_with_known(&format!("{head}.")).unwrap_err(), TokenError::Signature);
}

#[test]
fn malformed_tokens_are_refused_unread() {
    let verifier = Signer::new(SignatureAlgorithm::EdDSA).verifier();
    for malformed in ["", ".", "..", "a.b", "a.b.c.d", "not a token", "\u{e9}.\u{e9}.\u{e9}"] {
        let error = verifier.verify_with_known(malformed).unwrap_err();
        assert!(matches!(error, TokenError::Malformed | TokenError::Algorithm), "{malformed}: {error}");
    }
    assert_eq!(verifier.verify_with_known(&"a".repeat(32_769)).unwrap_err(), TokenError::TooLong);
}

#[test]
fn hs256_works_where_it_is_configured_and_key_sets_may_not_hold_secrets() {
    let mut minting = config(&[]);
    minting.hs256_secret = Checked::new(Secret::from(HS256_SECRET)).ok();
    let verifier = Verifier::new(&minting).unwrap();
    let token =
        crate::auth::mint::development_token(&minting, "me", "predict audit:read", Duration::from_mins(1));
    let actor = verifier.verify_with_known(&token.unwrap()).unwrap();
    assert!(actor.sub() == "me" && actor.has(Scope::AuditRead) && actor.has(Scope::Predict));

    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let load = |keys: Value| {
        std::fs::write(&jwks, json!({ "keys": keys }).to_string()).unwrap();
        let source = KeySource { jwks_file: Some(jwks.clone()), ..KeySource::default() };
        Verifier::new(&config(&[source])).err().map(|error| chain(&error))
    };
    assert!(load(json!([{ "kty": "oct", "k": "c2VjcmV0" }])).unwrap().contains("shared secret"));
    let unusable = json!([{ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" },
                          { "kty": "RSA", "use": "enc", "n": "AA", "e": "AQAB" }]);
    assert!(load(unusable).unwrap().contains("no signature key"));
}
