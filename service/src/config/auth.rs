//! `service.auth`: whose tokens are accepted and how they are checked.

use super::problem::Problem;
use super::secret::{Secret, resolve};
use super::units::Milliseconds;
use super::{Profile, require};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// HMAC keys shorter than the hash weaken it (RFC 7518, 3.2).
const MIN_HS256_BYTES: usize = 32;

/// Where a key that verifies tokens comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// A JSON Web Key Set; each key states its own algorithm and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Where an identity provider publishes such a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A public key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem_file: Option<PathBuf>,
    /// The one algorithm that the PEM key verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<SignatureAlgorithm>,
    /// Key id; tokens that state another one are not checked with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Signature algorithms accepted in every profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    RS256,
    /// ECDSA, P-256, SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthSection {
    issuer: Option<String>,
    audience: Option<String>,
    leeway_seconds: u64,
    keys: Vec<KeySource>,
    jwks: JwksSection,
    scopes: ScopesConfig,
    hs256_secret: Option<Secret>,
    hs256_secret_file: Option<PathBuf>,
}

/// Where tokens say what they grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopesConfig {
    /// Claims that hold scopes, by name or by path: `realm_access.roles`.
    pub claims: Vec<String>,
    /// What a name of ours begins with there; where any is given, a name without one grants nothing.
    pub prefixes: Vec<String>,
    /// What the site's own names grant.
    pub names: Vec<ScopeName>,
}

/// One name of a site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeName {
    /// As the token has it.
    pub name: String,
    /// Scopes of this service.
    pub grants: Vec<String>,
}

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwksSection {
    refresh_ms: Milliseconds,
    min_interval_ms: Milliseconds,
    keep_ms: Milliseconds,
    timeout_ms: Milliseconds,
    authorities_file: Option<PathBuf>,
}

/// How published key sets are fetched.
#[derive(Debug, Clone)]
pub struct JwksConfig {
    /// A set is fetched again when it is as old.
    pub refresh: Duration,
    /// A provider is asked at most so often.
    pub min_interval: Duration,
    /// Known keys count for so long while the provider is away.
    pub keep: Duration,
    /// A provider must have answered by then.
    pub timeout: Duration,
    /// Certificates in PEM that count in place of the system's.
    pub authorities_file: Option<PathBuf>,
}

/// Token verification.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must contain this.
    pub audience: String,
    /// Clock difference tolerated on `exp` and `nbf`.
    pub leeway: Duration,
    /// Keys that verify tokens.
    pub keys: Vec<KeySource>,
    /// How published sets are fetched.
    pub jwks: JwksConfig,
    /// Where tokens say what they grant.
    pub scopes: ScopesConfig,
    /// Shared secret of development tokens; always absent in production.
    pub hs256_secret: Option<Secret>,
}

impl AuthSection {
    pub(super) fn check(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<AuthConfig> {
        let stated = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let (issuer, audience) = (stated(&self.issuer), stated(&self.audience));
        require(
            problems,
            issuer.is_some(),
            "auth.issuer",
            "not set",
            "set it to the iss claim of your identity provider",
        );
        require(
            problems,
            audience.is_some(),
            "auth.audience",
            "not set",
            "set it to the aud claim that names this service",
        );
        require(
            problems,
            self.leeway_seconds <= 300,
            "auth.leeway_seconds",
            "out of range",
            "use 0 to 300 seconds",
        );
        for (index, key) in self.keys.iter().enumerate() {
            key.check(&format!("auth.keys[{index}]"), profile, problems);
        }
        let secret = self.check_hs256(profile, problems);
        let any = secret.is_some() || !self.keys.is_empty();
        let advice = "list at least one {jwks_url: https://..}, {jwks_file: PATH} or {pem_file: PATH, algorithm: RS256|ES256|EdDSA}";
        require(problems, any, "auth.keys", "empty: no token could be accepted", advice);
        Some(AuthConfig {
            issuer: issuer?,
            audience: audience?,
            leeway: Duration::from_secs(self.leeway_seconds),
            keys: self.keys.clone(),
            jwks: self.jwks.check(problems),
            scopes: self.scopes.check(problems),
            hs256_secret: secret,
        })
    }

    fn check_hs256(&self, profile: Profile, problems: &mut Vec<Problem>) -> Option<Secret> {
        if profile == Profile::Production {
            let absent = self.hs256_secret.is_none() && self.hs256_secret_file.is_none();
            let advice = "remove it and list a public key in auth.keys: anyone who can verify an HS256 token can also forge one";
            require(problems, absent, "auth.hs256_secret", "set in the production profile", advice);
            return None;
        }
        let (value, file) = (self.hs256_secret.as_ref(), self.hs256_secret_file.as_deref());
        let secret = resolve("auth.hs256_secret", value, file, profile, problems)?;
        let long = secret.expose().len() >= MIN_HS256_BYTES;
        require(problems, long, "auth.hs256_secret", "shorter than 32 bytes", "use at least 32 random bytes");
        Some(secret)
    }
}

impl ScopesConfig {
    fn check(&self, problems: &mut Vec<Problem>) -> Self {
        // Errors and WWW-Authenticate name the claim.
        let quotable = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        let named = |claim: &String| !claim.is_empty() && claim.chars().all(quotable);
        let usable = !self.claims.is_empty() && self.claims.iter().all(named);
        let advice = "list the claims that hold scopes, such as scope, scp, roles or realm_access.roles";
        require(problems, usable, "auth.scopes.claims", "empty, or an entry is not a usable name", advice);
        let named = self.names.iter().all(|entry| !entry.name.is_empty() && !entry.grants.is_empty());
        let advice = "write { name: NAME_IN_TOKENS, grants: [predict] }";
        require(problems, named, "auth.scopes.names", "an entry without a name or without grants", advice);
        self.clone()
    }
}

impl JwksSection {
    fn check(&self, problems: &mut Vec<Problem>) -> JwksConfig {
        for (key, value) in [
            ("auth.jwks.refresh_ms", self.refresh_ms),
            ("auth.jwks.min_interval_ms", self.min_interval_ms),
            ("auth.jwks.timeout_ms", self.timeout_ms),
        ] {
            require(problems, value.is_timeout(), key, "out of range", "use 1 to 3600000 milliseconds");
        }
        let (refresh, keep) = (self.refresh_ms.duration(), self.keep_ms.duration());
        let advice = "use more than auth.jwks.refresh_ms";
        require(problems, keep > refresh, "auth.jwks.keep_ms", "not longer than refresh_ms", advice);
        JwksConfig {
            refresh,
            min_interval: self.min_interval_ms.duration(),
            keep,
            timeout: self.timeout_ms.duration(),
            authorities_file: self.authorities_file.clone(),
        }
    }
}

impl KeySource {
    fn check(&self, key: &str, profile: Profile, problems: &mut Vec<Problem>) {
        let alone = self.algorithm.is_none() && self.kid.is_none();
        let consistent = match (&self.jwks_url, &self.jwks_file, &self.pem_file) {
            (Some(_), None, None) | (None, Some(_), None) => alone,
            (None, None, Some(_)) => self.algorithm.is_some(),
            _ => false,
        };
        let advice = "set jwks_url or jwks_file alone, or pem_file with algorithm (RS256, ES256 or EdDSA) and optionally kid";
        require(problems, consistent, key, "not exactly one complete key source", advice);
        if let Some(url) = &self.jwks_url {
            let secure = url.starts_with("https://");
            let allowed = secure || profile == Profile::Development && url.starts_with("http://");
            let advice =
                "use the https:// URL of the provider's key set (http:// only in the development profile)";
            require(problems, allowed, &format!("{key}.jwks_url"), "not an allowed URL", advice);
        }
    }
}
