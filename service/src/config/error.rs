//! Misconfigurations of a configuration: key, finding and advice. Texts are not quoted: they may be secrets.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misconfiguration {
    /// Full key, `service.http.bind`.
    pub key: String,
    pub found: String,
    pub advice: String,
}

impl Misconfiguration {
    /// Builds a problem; `key` is relative to `service`.
    pub fn new(key: &str, found: &str, advice: &str) -> Self {
        let key = format!("{}.{key}", super::layers::ROOT);
        Self { key, found: found.to_owned(), advice: advice.to_owned() }
    }
}

impl std::fmt::Display for Misconfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.found, self.advice)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misconfigurations(pub Vec<Misconfiguration>);

impl std::fmt::Display for Misconfigurations {
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

impl std::error::Error for Misconfigurations {}

/// Collects problems; missing and inconsistent values count only in the sections that a command needs.
pub(super) struct Findings<'a> {
    pub(super) parts: &'a [&'a str],
    pub(super) problems: Vec<Misconfiguration>,
}

impl Findings<'_> {
    /// Adds a problem unless the rule holds. A key that has one already is skipped: its value is a stand-in.
    pub(super) fn require(&mut self, holds: bool, key: &str, found: &str, advice: &str) {
        let section = key.split('.').next().unwrap_or_default();
        if holds || !self.parts.contains(&section) {
            return;
        }
        let problem = Misconfiguration::new(key, found, advice);
        let mut known = self.problems.iter().filter_map(|known| known.key.strip_prefix(&problem.key));
        if !known.any(|rest| rest.is_empty() || rest == "_file" || rest.starts_with('[')) {
            self.problems.push(problem);
        }
    }
}
