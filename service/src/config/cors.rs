//! `service.http.cors`: which web pages may call the API from a browser.

use super::problem::Problem;
use super::require;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Cross-origin requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins of those pages, `https://viewer.hospital.example`; none where empty.
    pub allowed_origins: Vec<String>,
    /// How long a browser may remember that.
    pub max_age_seconds: u64,
}

impl CorsConfig {
    /// How long a browser may remember what is allowed.
    pub const fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_seconds)
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let advice = "list each origin as browsers send it: https://viewer.hospital.example or https://host:8443, in lower case, without a \
                      path; * is not taken";
        let origins = self.allowed_origins.iter().all(|origin| is_origin(origin));
        require(problems, origins, "http.cors.allowed_origins", "not a list of origins", advice);
        let bounded = self.max_age_seconds <= 86_400;
        require(problems, bounded, "http.cors.max_age_seconds", "out of range", "use 0 to 86400 seconds");
    }
}

fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let in_authority = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    authority.is_some_and(|authority| !authority.is_empty() && authority.chars().all(in_authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_as_browsers_send_them_are_taken() {
        for good in ["https://viewer.hospital.example", "http://localhost:3000", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "",
            "https://",
            "viewer.example",
            "https://a.example/",
            "https://A.example",
            "https://*.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
