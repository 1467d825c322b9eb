//! `service.auth`: which tokens are accepted and how they are verified.

use super::Profile;
use super::error::Findings;
use super::secret::HmacKey;
use super::values::{Bounded, Checked, Millis, Rule, Timeout, ensure, rules};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Source of keys that verify tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// File with a JSON Web Key Set; each key states its own algorithm and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// URL where an identity provider publishes such a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem_file: Option<PathBuf>,
    /// The only algorithm that the PEM key verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<SignatureAlgorithm>,
    /// Key id; a token with another `kid` is not verified with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Signature algorithms accepted in every profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    RS256,
    ES256,
    EdDSA,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    pub issuer: Checked<Issuer>,
    /// Required member of `aud`.
    pub audience: Checked<Audience>,
    /// Clock difference tolerated on `exp` and `nbf`.
    pub leeway_seconds: Bounded<u32, 0, 300>,
    pub keys: Vec<KeySource>,
    /// How published key sets are fetched.
    pub jwks: JwksConfig,
    pub scopes: ScopesConfig,
    /// Shared secret of development tokens; never set in production.
    pub hs256_secret: Option<Checked<HmacKey>>,
    hs256_secret_file: Option<PathBuf>,
}

/// Where tokens hold scopes, and what their names mean here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopesConfig {
    /// Claims that hold scopes, by name or by path: `realm_access.roles`.
    pub claims: Checked<Claims>,
    /// Prefixes of this service's scopes. If any is listed, a name without one grants nothing.
    pub prefixes: Vec<String>,
    pub names: Checked<ScopeNames>,
}

/// A name of the site's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeName {
    pub name: String,
    pub grants: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwksConfig {
    pub refresh_ms: Timeout,
    pub min_interval_ms: Timeout,
    /// How long known keys stay valid while the provider is unreachable.
    pub keep_ms: Millis<0, { u64::MAX }>,
    pub timeout_ms: Timeout,
    /// Certificates in PEM to trust instead of the system's.
    pub authorities_file: Option<PathBuf>,
}

rules! {
    Issuer(String): "set it to the iss claim of your identity provider",
        |issuer| ensure(!issuer.is_empty(), "empty");

    Audience(String): "set it to the aud claim that names this service",
        |audience| ensure(!audience.is_empty(), "empty");

    Claims(Vec<String>): "list the claims that hold scopes, such as scope, scp, roles or realm_access.roles",
        |claims| {
            // Errors and WWW-Authenticate name the claim.
            let quotable = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
            let named = |claim: &String| !claim.is_empty() && claim.chars().all(quotable);
            ensure(!claims.is_empty() && claims.iter().all(named), "empty, or an entry is not a usable name")
        };

    ScopeNames(Vec<ScopeName>): "write { name: NAME_IN_TOKENS, grants: [predict] }",
        |names| {
            let named = names.iter().all(|entry| !entry.name.is_empty() && !entry.grants.is_empty());
            ensure(named, "an entry without a name or without grants")
        };
}

impl AuthConfig {
    pub(super) fn check(&self, profile: Profile, findings: &mut Findings<'_>) {
        for (index, key) in self.keys.iter().enumerate() {
            key.check(&format!("auth.keys[{index}]"), profile, findings);
        }
        let secret = self.hs256_secret.is_some();
        let advice = "remove it and list a public key in auth.keys: anyone who can verify an HS256 token can also forge one";
        let allowed = !secret || profile == Profile::Development;
        findings.require(allowed, "auth.hs256_secret", "set in the production profile", advice);
        let any = !self.keys.is_empty() || secret && profile == Profile::Development;
        let advice = "list at least one {jwks_url: https://..}, {jwks_file: PATH} or {pem_file: PATH, algorithm: RS256|ES256|EdDSA}";
        findings.require(any, "auth.keys", "empty: no token could be accepted", advice);
        let kept = self.jwks.keep_ms.get() > self.jwks.refresh_ms.get();
        let advice = "use more than auth.jwks.refresh_ms";
        findings.require(kept, "auth.jwks.keep_ms", "not longer than refresh_ms", advice);
    }
}

impl KeySource {
    fn check(&self, key: &str, profile: Profile, findings: &mut Findings<'_>) {
        let alone = self.algorithm.is_none() && self.kid.is_none();
        let consistent = match (&self.jwks_url, &self.jwks_file, &self.pem_file) {
            (Some(_), None, None) | (None, Some(_), None) => alone,
            (None, None, Some(_)) => self.algorithm.is_some(),
            _ => false,
        };
        let advice = "set jwks_url or jwks_file alone, or pem_file with algorithm (RS256, ES256 or EdDSA) and optionally kid";
        findings.require(consistent, key, "not exactly one complete key source", advice);
        if let Some(url) = &self.jwks_url {
            let secure = url.starts_with("https://");
            let allowed = secure || profile == Profile::Development && url.starts_with("http://");
            let advice =
                "use the https:// URL of the provider's key set (http:// only in the development profile)";
            findings.require(allowed, &format!("{key}.jwks_url"), "not an allowed URL", advice);
        }
    }
}
