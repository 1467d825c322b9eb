//! Label values of metrics, as closed sets.

macro_rules! labels {
    ($($(#[$attribute:meta])* pub enum $Set:ident {
        $($(#[$doc:meta])* $Value:ident = $label:literal,)+
    })+) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Set {
            $($(#[$doc])* $Value,)+
        }

        impl $Set {
            pub(super) const ALL: &[&str] = &[$($label),+];

            pub(super) const fn label(self) -> &'static str {
                match self {
                    $(Self::$Value => $label,)+
                }
            }
        }
    )+};
}

labels! {
    pub enum ReloadResult {
        /// Another model is current.
        Swapped = "swapped",
        /// The bundle was current already.
        Unchanged = "unchanged",
        /// The bundle was rejected; the current model stays.
        Refused = "refused",
    }

    /// Result of offering an image to the candidate.
    pub enum ShadowResult {
        Agrees = "agrees",
        Differs = "differs",
        /// Its queue was full.
        Skipped = "skipped",
        /// Scoring or writing the row failed.
        Failed = "failed",
    }

    /// Why an admitted image was dropped before inference.
    pub enum DropCause {
        Expired = "expired",
        Abandoned = "abandoned",
    }

    /// Why the service closed a connection.
    pub enum ConnectionEnd {
        /// All connection slots were taken.
        NoSlot = "no_place",
        /// The TLS handshake failed or timed out.
        Tls = "tls",
        /// Not HTTP; answered 400.
        Malformed = "malformed",
        /// Too many header fields, too large a head or too long a URI; answered 431 or 414.
        HeadTooLarge = "head_too_large",
        /// A request head, or the next request, did not arrive in time.
        Silent = "silent",
        /// The client stopped reading its answer.
        NotReading = "not_reading",
        /// Its address has too many connections.
        AddressLimit = "address_limit",
        /// It was idle, and another connection needed its slot.
        Evicted = "evicted",
        /// It caused a refusal while too many refusals were being delayed.
        Flooding = "flooding",
    }
}
