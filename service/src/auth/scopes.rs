//! Scopes: what a token may grant. A new protected route starts here.

/// One grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Send images and get predictions.
    Predict,
    /// Read the audit log.
    AuditRead,
    /// Operate the service.
    Admin,
}

impl Scope {
    /// Every scope, with what it grants.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Predict, "send images and get predictions"),
        (Self::AuditRead, "read the audit log"),
        (Self::Admin, "operate the service: take over another model"),
    ];

    /// The name in tokens and in the API description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::AuditRead => "audit:read",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name; tokens may hold names that mean something to other services.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(scope, _)| scope).find(|scope| scope.name() == name)
    }
}
