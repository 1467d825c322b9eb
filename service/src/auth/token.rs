//! Token verification: signature, times, issuer, audience and subject, before any claim is used.

use super::Actor;
use super::claims::{Claims, Grants};
use super::keys::{self, KeyError, VerificationKey};
use super::remote::{PublishedSet, RemoteKeys};
use crate::config::auth::AuthConfig;
use crate::hangup::Hangup;
use crate::telemetry::logs::chain;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, TokenData, Validation};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Longer tokens are refused unread. With 199 groups, Microsoft Entra's most, a token has about 10 KiB.
const MAX_TOKEN_BYTES: usize = 32 << 10;
/// Tokens with an unknown key that may wait for a fetch. Further ones are refused at once: any client can
/// name an unknown key, and each waits for seconds while the provider is unreachable.
const MAX_WAITING: usize = 32;

/// Why a token is refused. The texts are safe to send back: they name the claim and never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Over [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than 32768 bytes")]
    TooLong,
    /// Not three parts of base64url, or header or claims are not JSON of the right form.
    #[error("the token is malformed")]
    Malformed,
    #[error("the token's algorithm is not accepted (alg must be RS256, ES256 or EdDSA)")]
    Algorithm,
    #[error("the token's header contains jku, jwk, x5u, x5c or crit, which are not accepted")]
    ForeignKey,
    #[error("the token's kid matches no known key")]
    UnknownKey,
    #[error("no known key supports the token's alg")]
    NoKeyForAlgorithm,
    /// No known key fits, but a key set that is unavailable might hold one.
    #[error("the keys that could verify the token are unavailable")]
    KeysAway,
    #[error("the token's signature is invalid")]
    Signature,
    #[error("the token has expired (exp)")]
    Expired,
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,
    #[error("the token's issuer is not accepted (iss)")]
    Issuer,
    #[error("the token is for another audience (aud)")]
    Audience,
    #[error("the claim {0} is missing or malformed")]
    Claim(&'static str),
    #[error("the claim {0} is neither a string nor a list of strings")]
    ScopeClaim(String),
    #[error("the claim sub is empty or longer than 128 bytes")]
    SubjectLength,
    #[error(
        "the claim sub could be mistaken for another one: it contains a space, a control or invisible character, or is not in Unicode \
         normalization form C"
    )]
    SubjectLookalike,
    #[error("the claim sub begins with database:, which is reserved for database users")]
    SubjectReserved,
}

pub struct Verifier {
    config: AuthConfig,
    keys: RwLock<Arc<[VerificationKey]>>,
    remote: Vec<Arc<RemoteKeys>>,
    waiting: Semaphore,
    grants: Grants,
}

impl Verifier {
    /// Loads the keys that are in files; published sets are fetched later.
    pub fn new(config: &AuthConfig) -> Result<Self, KeyError> {
        let urls = config.keys.iter().enumerate();
        let urls = urls.filter_map(|(position, source)| Some((position, source.jwks_url.as_deref()?)));
        let remote = urls.map(|(position, url)| RemoteKeys::new(position, url, &config.jwks).map(Arc::new));
        Ok(Self {
            keys: RwLock::new(keys::load(config)?.into()),
            remote: remote.collect::<Result<_, _>>()?,
            waiting: Semaphore::new(MAX_WAITING),
            grants: Grants::new(&config.scopes)?,
            config: config.clone(),
        })
    }

    /// Starts to fetch the published sets, and to reload everything at SIGHUP. Call inside a Tokio runtime.
    pub fn keep_fresh(self: &Arc<Self>) {
        for set in &self.remote {
            tokio::spawn(Arc::clone(set).keep_fresh());
        }
        tokio::spawn(Arc::clone(self).reload_at_hangup());
    }

    async fn reload_at_hangup(self: Arc<Self>) {
        let mut hangup = Hangup::listen();
        loop {
            hangup.received().await;
            match keys::load(&self.config) {
                Ok(keys) => {
                    tracing::info!(n = keys.len(), "token keys reloaded from files");
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
                }
                Err(error) => {
                    tracing::error!(
                        cause = chain(&error),
                        "reloading token keys failed; keeping the old ones"
                    );
                }
            }
            for set in &self.remote {
                set.refetch().await;
            }
        }
    }

    /// Fetches every published set once without using it. The error is the cause of the first failure.
    pub async fn fetch_published(&self) -> Result<(), String> {
        for set in &self.remote {
            set.try_fetch().await?;
        }
        Ok(())
    }

    pub fn published(&self) -> impl Iterator<Item = PublishedSet> {
        self.remote.iter().map(|set| set.state())
    }

    /// Positions in `auth.keys` of the published sets that were never fetched, or too long ago.
    pub fn missing_sets(&self) -> impl Iterator<Item = usize> {
        self.remote.iter().filter(|set| set.keys().is_none()).map(|set| set.position())
    }

    /// Verifies a token. If its key is unknown, the published sets are fetched again first.
    pub async fn verify(&self, token: &str) -> Result<Actor, TokenError> {
        match self.verify_with_known(token) {
            Err(TokenError::UnknownKey | TokenError::NoKeyForAlgorithm | TokenError::KeysAway)
                if !self.remote.is_empty() =>
            {
                let _permit = self.waiting.try_acquire().map_err(|_| TokenError::KeysAway)?;
                for set in &self.remote {
                    set.refetch().await;
                }
                self.verify_with_known(token)
            }
            verified => verified,
        }
    }

    /// Verifies a token with the keys that are known now.
    pub(super) fn verify_with_known(&self, token: &str) -> Result<Actor, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| header_error(token, &error))?;
        check_header(&header)?;
        let in_files = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let published: Vec<_> = self.remote.iter().filter_map(|set| set.keys()).collect();
        let keys: Vec<_> = in_files.iter().chain(published.iter().flat_map(|set| set.iter())).collect();
        // Several keys may fit: any of them may verify the token.
        let published_kind = header.alg != Algorithm::HS256;
        let away = published_kind && self.missing_sets().next().is_some();
        let mut refused = match keys.iter().any(|key| key.algorithm == header.alg) {
            _ if away => TokenError::KeysAway,
            true => TokenError::UnknownKey,
            false => TokenError::NoKeyForAlgorithm,
        };
        for key in keys.into_iter().filter(|key| fits(key, &header)) {
            match self.verify_with(token, key) {
                Err(TokenError::Signature) => refused = TokenError::Signature,
                verified => return verified,
            }
        }
        Err(refused)
    }

    fn verify_with(&self, token: &str, key: &VerificationKey) -> Result<Actor, TokenError> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = self.config.leeway_seconds.get().into();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&*self.config.issuer]);
        validation.set_audience(&[&*self.config.audience]);
        let verified = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
        self.grants.actor(&verified.map_err(|error| claim_error(token, &error))?.claims)
    }
}

/// A key with an id verifies only tokens with this id or without one.
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

/// `alg: none` and unknown algorithms make the header fail to parse, unlike other malformed tokens.
fn header_error(token: &str, error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::Json(_) if token.split('.').count() == 3 => TokenError::Algorithm,
        _ => TokenError::Malformed,
    }
}

fn claim_error(token: &str, error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
            let known = ["exp", "nbf", "iss", "aud", "sub"].into_iter().find(|known| known == name);
            known.map_or(TokenError::Malformed, TokenError::Claim)
        }
        ErrorKind::Json(_) => misfit(token),
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => TokenError::Malformed,
        _ => TokenError::Signature,
    }
}

/// The library does not name a claim with a list or an object. The signature is verified by then.
fn misfit(token: &str) -> TokenError {
    let Ok(TokenData { claims, .. }) = jsonwebtoken::dangerous::insecure_decode::<Claims>(token) else {
        return TokenError::Malformed;
    };
    let nested = |name: &str| {
        claims.get(name).is_some_and(|value| value.is_object() || name != "aud" && value.is_array())
    };
    let named = ["exp", "nbf", "iss", "aud", "sub"].into_iter().find(|name| nested(name));
    named.map_or(TokenError::Malformed, TokenError::Claim)
}

#[cfg(test)]
mod tests;
