//! Development tokens: HS256, for trying the service on one's own machine.

use super::{Scope, Verifier};
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
/// Without `service.auth.hs256_secret`, which only the development profile may have; for a scope that does not exist
/// or a subject that the service would refuse.
pub fn development_token(
    config: &AuthConfig,
    subject: &str,
    scope: &str,
    ttl: Duration,
) -> anyhow::Result<String> {
    let Some(secret) = &config.hs256_secret else {
        anyhow::bail!("dev-token needs the development profile: add --profile development");
    };
    if let Some(unknown) = scope.split_whitespace().find(|name| Scope::named(name).is_none()) {
        let known = Scope::ALL.map(|(scope, _)| scope.name()).join(", ");
        anyhow::bail!("there is no scope {unknown:?}; there are {known}");
    }
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
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?;
    // What the service would refuse is refused here.
    Verifier::new(config)?.verify_with_known(&token)?;
    Ok(token)
}
