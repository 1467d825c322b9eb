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

    /// The environment variable that sets this key.
    fn variable(&self) -> String {
        format!("CXR_{}", self.key.replace('.', "__").to_uppercase())
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.found, self.advice)?;
        // A list is written in a file; a variable cannot hold one.
        if self.key.contains('[') { Ok(()) } else { write!(f, " (environment: {})", self.variable()) }
    }
}

/// Every problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.0.len();
        write!(f, "the configuration has {n} problem{}:", if n == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}
