//! `service.http.cors`: the web pages that may call the API from a browser.

use super::values::{Bounded, Checked, Rule, ensure, rules};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins of those pages, `https://viewer.hospital.example`; none if empty.
    pub allowed_origins: Checked<Origins>,
    pub max_age_seconds: Bounded<u32, 0, 86_400>,
}

rules! {
    Origins(Vec<String>): "list each origin as browsers send it: https://viewer.hospital.example or https://host:8443, in lower case, \
         without a path; * is not allowed",
        |origins| ensure(origins.iter().all(|origin| is_origin(origin)), "not a list of origins");
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
    fn only_origins_as_browsers_send_them_are_accepted() {
        for good in ["https://viewer.hospital.example", "http://localhost:3000", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        let no_host = ["*", "null", "", "https://", "viewer.example"];
        for bad in no_host.into_iter().chain(["https://a.example/", "https://A.example", "https://*.example"])
        {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
