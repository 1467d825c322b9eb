//! `service.telemetry`: how the log is written, and where traces go.

use super::values::{Bounded, Checked, Millis, Rule, ensure, rules};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    pub log_format: LogFormat,
    /// What is logged, as directives: `info`, `warn,cxr_service=debug`.
    pub log_filter: Checked<LogFilter>,
    pub otlp: OtlpConfig,
}

/// Spans for an OpenTelemetry collector.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// Base URL of OTLP over HTTP; without it, no spans are made.
    pub endpoint: Option<Checked<CollectorUrl>>,
    /// Share of the traces that start in the service.
    pub sample_ratio: Checked<SampleRatio>,
    /// For one request to the collector, and for the last spans at the end of the process.
    pub timeout_ms: Millis<1, 60_000>,
    /// How long a span waits for others.
    pub interval_ms: Millis<10, 60_000>,
    pub max_queued_spans: Bounded<usize, 512, 1_000_000>,
}

rules! {
    LogFilter(String): "use a level such as info, or directives such as warn,cxr_service=debug",
        |directives| ensure(EnvFilter::try_new(directives).is_ok(), "not a log filter");

    CollectorUrl(String): "use the base URL of the collector, such as http://127.0.0.1:4318",
        |url| {
            let plain = |url: reqwest::Url| {
                let user = !url.username().is_empty() || url.password().is_some();
                let more = url.query().is_some() || url.fragment().is_some();
                matches!(url.scheme(), "http" | "https") && url.has_host() && !user && !more
            };
            ensure(reqwest::Url::parse(url).is_ok_and(plain), "not a plain http:// or https:// URL")
        };

    SampleRatio(f64): "use 0 (none) to 1 (all)",
        |ratio| ensure((0.0..=1.0).contains(ratio), "out of range");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collectors_url_has_no_secret_and_a_ratio_is_a_share() {
        let url = |text: &str| Checked::<CollectorUrl>::new(text.to_owned()).is_ok();
        for plain in ["http://127.0.0.1:4318", "https://collector.example/otlp/"] {
            assert!(url(plain), "{plain}");
        }
        let user = "http://user:secret@a";
        for refused in ["", "127.0.0.1:4318", "ftp://a", "http://", user, "http://a?b", "http://a#b"] {
            assert!(!url(refused), "{refused}");
        }
        let ratio = |share: f64| Checked::<SampleRatio>::new(share).is_ok();
        assert!(ratio(0.0) && ratio(1.0) && !ratio(-0.1) && !ratio(1.1) && !ratio(f64::NAN));
    }
}
