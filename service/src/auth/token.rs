//! Token verification: everything that must hold before a token's claims mean anything.

use super::keys::{self, KeyError, VerificationKey};
use super::remote::{PublishedSet, RemoteKeys};
use super::{Actor, Scope};
use crate::config::auth::AuthConfig;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Longer tokens are not looked at.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Tokens of unknown keys that wait for the published sets at a time. Whoever comes on top is told to come again: anybody can name an
/// unknown key, and each waits for seconds when a provider is away.
const MAX_WAITING: usize = 32;
/// Longest `sub`, in bytes.
const MAX_SUBJECT_BYTES: usize = 128;

/// Why a token is refused, in words that are safe to send back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Over [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than 8192 bytes")]
    TooLong,
    /// Not three parts of base64url, or the header or claims are no JSON of the right form.
    #[error("the token is malformed")]
    Malformed,
    /// `alg` is missing, `none` or not one that is accepted here.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The header tries to bring its own key or an extension that must be understood.
    #[error("the token's header holds jku, jwk, x5u, x5c or crit, which are not accepted")]
    ForeignKey,
    /// No configured key fits the token's `kid` and `alg`.
    #[error("no configured key fits the token's kid and alg")]
    UnknownKey,
    /// No known key fits, and one that is not known at the moment might.
    #[error("the keys that could verify the token are not known at the moment")]
    KeysAway,
    /// The signature does not verify.
    #[error("the token's signature is wrong")]
    Signature,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is not the configured issuer.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// `aud` does not name this service.
    #[error("the token is for another audience")]
    Audience,
    /// `exp`, `iss`, `aud` or `sub` is missing or has the wrong type.
    #[error("one of the claims exp, iss, aud and sub is missing or malformed")]
    Claims,
    /// `sub` is empty, too long or not printable.
    #[error("the claim sub is empty, longer than 128 bytes or not printable")]
    Subject,
}

/// Checks tokens against the configured keys and claims.
pub struct Verifier {
    keys: Vec<VerificationKey>,
    remote: Vec<Arc<RemoteKeys>>,
    waiting: Semaphore,
    issuer: String,
    audience: String,
    leeway_seconds: u64,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    // An array would pass the library's check when it merely contains the issuer.
    #[serde(rename = "iss")]
    _issuer: String,
    scope: Option<String>,
    scp: Option<Vec<String>>,
}

impl Verifier {
    /// Loads the keys.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn new(config: &AuthConfig) -> Result<Self, KeyError> {
        let urls = config.keys.iter().enumerate();
        let urls = urls.filter_map(|(position, source)| Some((position, source.jwks_url.as_deref()?)));
        let remote = urls.map(|(position, url)| RemoteKeys::new(position, url, &config.jwks).map(Arc::new));
        Ok(Self {
            keys: keys::load(config)?,
            remote: remote.collect::<Result<_, _>>()?,
            waiting: Semaphore::new(MAX_WAITING),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_seconds: config.leeway.as_secs(),
        })
    }

    /// Begins to fetch the published sets. Call inside a Tokio runtime.
    pub fn keep_fresh(&self) {
        for set in &self.remote {
            tokio::spawn(Arc::clone(set).keep_fresh());
        }
    }

    /// Fetches every published set once.
    ///
    /// # Errors
    /// Why the first that was not fetched was not, or cannot be used.
    pub async fn fetch_published(&self) -> Result<(), String> {
        for set in &self.remote {
            set.try_fetch().await?;
        }
        Ok(())
    }

    /// The published sets, and how fetching them goes.
    pub fn published(&self) -> impl Iterator<Item = PublishedSet> {
        self.remote.iter().map(|set| set.state())
    }

    /// The published sets of which no key is known, or none any more, by their positions in `auth.keys`.
    pub fn missing_sets(&self) -> impl Iterator<Item = usize> {
        self.remote.iter().filter(|set| set.keys().is_none()).map(|set| set.position())
    }

    /// The actor that a token proves. One that names a key that is not known lets the published sets be fetched again.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn verify(&self, token: &str) -> Result<Actor, TokenError> {
        match self.verify_with_known(token) {
            Err(TokenError::UnknownKey | TokenError::KeysAway) if !self.remote.is_empty() => {
                let _place = self.waiting.try_acquire().map_err(|_| TokenError::KeysAway)?;
                for set in &self.remote {
                    set.look_again().await;
                }
                self.verify_with_known(token)
            }
            verified => verified,
        }
    }

    /// The same with the keys that are known now.
    pub(super) fn verify_with_known(&self, token: &str) -> Result<Actor, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| header_error(token, &error))?;
        check_header(&header)?;
        // A set may hold several keys that fit; the last one's error is as good as any.
        let published_kind = header.alg != Algorithm::HS256;
        let away = published_kind && self.missing_sets().next().is_some();
        let mut refused = if away { TokenError::KeysAway } else { TokenError::UnknownKey };
        let published: Vec<_> = self.remote.iter().filter_map(|set| set.keys()).collect();
        let keys = self.keys.iter().chain(published.iter().flat_map(|set| set.iter()));
        for key in keys.filter(|key| fits(key, &header)) {
            match self.verify_with(token, key) {
                Err(TokenError::Signature) => refused = TokenError::Signature,
                verified => return verified,
            }
        }
        Err(refused)
    }

    fn verify_with(&self, token: &str, key: &VerificationKey) -> Result<Actor, TokenError> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key.key, &validation).map_err(|e| claim_error(&e))?.claims;
        actor(claims)
    }
}

/// A key with an id verifies only tokens that state this id or none.
fn fits(key: &VerificationKey, header: &Header) -> bool {
    let other_kid = matches!((&key.kid, &header.kid), (Some(own), Some(stated)) if own != stated);
    key.algorithm == header.alg && !other_kid
}

fn check_header(header: &Header) -> Result<(), TokenError> {
    let brings_key =
        header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some();
    if brings_key || header.crit.is_some() {
        return Err(TokenError::ForeignKey);
    }
    match header.alg {
        Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA | Algorithm::HS256 => Ok(()),
        _ => Err(TokenError::Algorithm),
    }
}

/// `alg: none` and unknown algorithms fail while the header is parsed; that is told apart from rubbish.
fn header_error(token: &str, error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::Json(_) if token.split('.').count() == 3 => TokenError::Algorithm,
        _ => TokenError::Malformed,
    }
}

fn claim_error(error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => {
            TokenError::Claims
        }
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => TokenError::Malformed,
        _ => TokenError::Signature,
    }
}

fn actor(claims: Claims) -> Result<Actor, TokenError> {
    let subject = claims.sub;
    let bounded = !subject.is_empty() && subject.len() <= MAX_SUBJECT_BYTES;
    if !bounded || subject.chars().any(char::is_control) {
        return Err(TokenError::Subject);
    }
    let spaced = claims.scope.iter().flat_map(|scope| scope.split(' '));
    let listed = claims.scp.iter().flatten().map(String::as_str);
    Ok(Actor { scopes: spaced.chain(listed).filter_map(Scope::named).collect(), subject })
}

#[cfg(test)]
mod tests;
