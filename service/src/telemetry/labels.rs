//! Label values of metrics, as closed sets.

/// Result of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// Another model is current.
    Swapped,
    /// The bundle was current already.
    Unchanged,
    /// The bundle was rejected; the current model stays.
    Refused,
}

/// Result of offering an image to the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowResult {
    /// Same decision.
    Agrees,
    /// Another decision.
    Differs,
    /// Its queue was full.
    Skipped,
    /// Scoring or writing the row failed.
    Failed,
}

/// Why an admitted image was dropped before inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropCause {
    /// Its deadline passed.
    Expired,
    /// Its client disconnected.
    Abandoned,
}

/// Why the service closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// All connection slots were taken.
    NoPlace,
    /// The TLS handshake failed or timed out.
    Tls,
    /// Not HTTP; answered 400.
    Malformed,
    /// Too many header fields, too large a head or too long a URI; answered 431 or 414.
    HeadTooLarge,
    /// A request head, or the next request, did not arrive in time.
    Silent,
    /// The client stopped reading its answer.
    NotReading,
    /// Its address has too many connections.
    AddressLimit,
    /// It was idle, and another connection needed its slot.
    Evicted,
    /// It caused a refusal while too many refusals were being delayed.
    Flooding,
}

impl ConnectionEnd {
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
