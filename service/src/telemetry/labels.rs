//! Closed sets of label values.

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// Another model serves.
    Swapped,
    /// The bundle serves already.
    Unchanged,
    /// The old model goes on.
    Refused,
}

/// What became of an image that was offered to the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowResult {
    /// Same decision.
    Agrees,
    /// Another decision.
    Differs,
    /// Too many were waiting.
    Skipped,
    /// The candidate or its row failed.
    Failed,
}

/// Why an admitted image never met the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropCause {
    /// Its deadline passed.
    Expired,
    /// Its client went away.
    Abandoned,
}

/// Why the service ended a connection by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// All places were taken.
    NoPlace,
    /// The TLS handshake failed or did not end in time.
    Tls,
    /// What came is no HTTP; answered 400.
    Malformed,
    /// Too many header fields, too large a head or too long a URI; answered 431 or 414.
    HeadTooLarge,
    /// A request's head did not come in time, or no further request.
    Silent,
    /// The client did not take its answer.
    NotReading,
    /// Its address has all the connections that it may have.
    AddressLimit,
    /// It made way for another one.
    Evicted,
    /// It provoked a refusal while as many were held back as may be.
    Flooding,
}

impl ConnectionEnd {
    /// Every cause.
    pub(super) const ALL: [Self; 9] = [
        Self::NoPlace,
        Self::Tls,
        Self::Malformed,
        Self::HeadTooLarge,
        Self::Silent,
        Self::NotReading,
        Self::AddressLimit,
        Self::Evicted,
        Self::Flooding,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::NoPlace => "no_place",
            Self::Tls => "tls",
            Self::Malformed => "malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::Silent => "silent",
            Self::NotReading => "not_reading",
            Self::AddressLimit => "address_limit",
            Self::Evicted => "evicted",
            Self::Flooding => "flooding",
        }
    }
}

impl ReloadResult {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Swapped => "swapped",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

impl ShadowResult {
    /// Every result.
    pub(super) const ALL: [Self; 4] = [Self::Agrees, Self::Differs, Self::Skipped, Self::Failed];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

impl DropCause {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
        }
    }
}
