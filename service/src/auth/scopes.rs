//! Scopes that a token may grant. A route names one in its description (`security`).

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Predict,
    Label,
    AuditRead,
    MonitorRead,
    Admin,
}

impl Scope {
    /// Every scope, with what it grants.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Predict, "send images and receive predictions"),
        (Self::Label, "record and read labels"),
        (Self::AuditRead, "read the audit log"),
        (Self::MonitorRead, "read drift, calibration and performance"),
        (
            Self::Admin,
            "operate the service: reload the model, take it out of service, acknowledge and resolve alarms",
        ),
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Label => "label",
            Self::AuditRead => "audit:read",
            Self::MonitorRead => "monitor:read",
            Self::Admin => "admin",
        }
    }

    /// The scope of a name; tokens may also hold names of other services.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(scope, _)| scope).find(|scope| scope.name() == name)
    }
}
