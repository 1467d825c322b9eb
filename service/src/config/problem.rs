//! What is wrong with a configuration: key, kind of value found, what to do. Never the value itself.

/// One thing to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Full key, `service.http.bind`.
    pub key: String,
    /// What was found, in words that hold no value.
    pub found: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    /// Builds a problem; `key` is relative to `service`.
    pub fn new(key: &str, found: &str, advice: &str) -> Self {
        let key = format!("{}.{key}", super::layers::ROOT);
        Self { key, found: found.to_owned(), advice: advice.to_owned() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.found, self.advice)
    }
}

/// Every problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.0.len();
        write!(f, "the configuration has {n} problem{}:", if n == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        write!(
            f,
            "\nSet keys in <profile>.yaml or by variables (service.http.bind: CXR_SERVICE__HTTP__BIND); set lists in the file."
        )
    }
}

impl std::error::Error for Problems {}
