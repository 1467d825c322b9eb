//! Authentication: from a bearer token to an actor with scopes, independent of HTTP.

mod claims;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keys;
pub mod mint;
mod remote;
pub mod scopes;
mod token;

pub use keys::{KeyError, SetError};
pub use remote::PublishedSet;
pub use scopes::Scope;
pub use token::{TokenError, Verifier};

use std::collections::BTreeSet;

/// The authenticated client of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    subject: String,
    scopes: BTreeSet<Scope>,
}

impl Actor {
    /// The token's `sub`: the actor that audit rows name.
    pub fn sub(&self) -> &str {
        &self.subject
    }

    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}
