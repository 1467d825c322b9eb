//! Bearer tokens, signed with the secret of the development profile or with a new key pair.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The issuer in config/development.yaml.
pub const ISSUER: &str = "https://development.cxr.invalid";
/// The audience in config/development.yaml.
pub const AUDIENCE: &str = "cxr";
/// A private key that signs a log's receipts and checkpoints, for servers in the production profile.
pub const LOG_KEY: &str =
    "PRIVATE+KEY+cxr.test.invalid/log+a8b09d84+AQ2sW+4xs1msoZOzD5X6/hPJ4Va6RskoXk3SYjwuwk4U";
const SECRET: &[u8] = b"development-only-token-secret-known-to-everybody";

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Valid claims for a `sub` and its scopes.
pub fn claims(subject: &str, scope: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scope, "nbf": now() - 5, "exp": now() + 600})
}

/// A valid development token.
pub fn token(scope: &str) -> String {
    sign(&claims("tester", scope), SECRET)
}

/// Signs claims with HS256 and any secret.
pub fn sign(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))
        .expect("claims are JSON")
}

/// Signs claims with the development secret, with any header.
pub fn sign_under(header: &Header, claims: &Value) -> String {
    encode(header, claims, &EncodingKey::from_secret(SECRET)).expect("claims are JSON")
}

/// Signs claims with the development secret.
pub fn sign_development(claims: &Value) -> String {
    sign(claims, SECRET)
}

/// A token with `alg: none` and no signature.
pub fn unsigned(claims: &Value) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as base64url;
    format!("{}.{}.", base64url.encode(r#"{"alg":"none","typ":"JWT"}"#), base64url.encode(claims.to_string()))
}

/// A key pair from openssl: `private.pem` and `public.pem` in `directory`.
pub struct KeyPair {
    /// PKCS#8 private key.
    pub private_pem: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub public_pem: Vec<u8>,
    algorithm: Algorithm,
}

impl KeyPair {
    /// Creates a pair for RS256, ES256 or EdDSA.
    pub fn new(algorithm: Algorithm, directory: &Path) -> Self {
        let kind: &[&str] = match algorithm {
            Algorithm::RS256 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Algorithm::ES256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Algorithm::EdDSA => &["-algorithm", "ED25519"],
            other => panic!("no key for {other:?}"),
        };
        let (private, public) = (directory.join("private.pem"), directory.join("public.pem"));
        let openssl = |arguments: &[&std::ffi::OsStr]| {
            let done = Command::new("openssl").args(arguments).output().expect("openssl runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let mut generate = vec!["genpkey".as_ref()];
        generate.extend(kind.iter().map(std::ffi::OsStr::new));
        generate.extend(["-out".as_ref(), private.as_os_str()]);
        openssl(&generate);
        openssl(&[
            "pkey".as_ref(),
            "-in".as_ref(),
            private.as_os_str(),
            "-pubout".as_ref(),
            "-out".as_ref(),
            public.as_os_str(),
        ]);
        let read = |path| std::fs::read(path).expect("openssl wrote it");
        Self { private_pem: read(&private), public_pem: read(&public), algorithm }
    }

    /// Signs claims, optionally with a key id in the header.
    pub fn sign(&self, claims: &Value, kid: Option<&str>) -> String {
        let key = match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(&self.private_pem),
            Algorithm::ES256 => EncodingKey::from_ec_pem(&self.private_pem),
            _ => EncodingKey::from_ed_pem(&self.private_pem),
        };
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &key.expect("openssl's PEM")).expect("claims are JSON")
    }
}
