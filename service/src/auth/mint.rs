//! Development tokens (HS256), for trying the service.

use super::{Scope, Verifier};
use crate::config::auth::AuthConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Signs a token with space-separated scopes. Fails for a subject that the service would refuse.
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
    let claims = json!({
        "iss": *config.issuer,
        "aud": *config.audience,
        "sub": subject,
        "scope": scope,
        "iat": now,
        "nbf": now,
        "exp": now.saturating_add(ttl.as_secs()),
    });
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?;
    // Fail here rather than at the first request.
    Verifier::new(config)?.verify_with_known(&token)?;
    Ok(token)
}
