//! Development tokens: HS256, for trying the service on one's own machine.

use crate::config::auth::AuthConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    scope: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// A signed token for the subject with the scopes (separated by spaces).
///
/// # Errors
/// Without `service.auth.hs256_secret`, which only the development profile may have.
pub fn development_token(
    config: &AuthConfig,
    subject: &str,
    scope: &str,
    ttl: Duration,
) -> anyhow::Result<String> {
    let Some(secret) = &config.hs256_secret else {
        anyhow::bail!("tokens are minted in the development profile only: add --profile development");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims {
        iss: &config.issuer,
        aud: &config.audience,
        sub: subject,
        scope,
        iat: now,
        nbf: now,
        exp: now.saturating_add(ttl.as_secs()),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
