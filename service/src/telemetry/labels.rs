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
