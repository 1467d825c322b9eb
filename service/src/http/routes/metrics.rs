//! `/metrics`. Scrapes that arrive while a page is rendered share the next one, so that a flood costs one
//! page at a time.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Format;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// The newest page.
#[derive(Debug, Default)]
pub(crate) struct MetricsPage {
    /// Pages begun so far.
    begun: AtomicU64,
    newest: Mutex<Option<(u64, Bytes)>>,
}

impl MetricsPage {
    /// A page whose rendering began after this call.
    pub(crate) async fn text<E>(&self, write: impl Future<Output = Result<String, E>>) -> Result<Bytes, E> {
        let asked_after = self.begun.load(Ordering::SeqCst);
        let mut newest = self.newest.lock().await;
        if let Some((number, text)) = &*newest
            && *number > asked_after
        {
            return Ok(text.clone());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let text = Bytes::from(write.await?);
        *newest = Some((number, text.clone()));
        Ok(text)
    }
}

/// A page in each format.
#[derive(Debug, Default)]
pub struct MetricsPages {
    text: MetricsPage,
    open_metrics: MetricsPage,
}

impl MetricsPages {
    fn page(&self, format: Format) -> &MetricsPage {
        match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open_metrics,
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text";

/// OpenMetrics for a scraper that prefers it to the text format, as Prometheus does.
fn format(headers: &HeaderMap) -> Format {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = accept.flat_map(|value| value.split(','));
    let (mut text, mut open_metrics) = (0.0, 0.0_f64);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let parameter = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let quality = parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let version = parameter("version").is_none_or(|version| version.starts_with("1."));
        if media.eq_ignore_ascii_case(OPEN_METRICS) && version {
            open_metrics = open_metrics.max(quality);
        } else if media.eq_ignore_ascii_case("text/plain") {
            text = quality.max(text);
        }
    }
    if open_metrics > 0.0 && open_metrics >= text { Format::OpenMetrics } else { Format::Text }
}

const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    }
}

/// Metrics for Prometheus, in its text format or, if `Accept` asks for it, in OpenMetrics with exemplars.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "All metrics of this replica",
            content((String = "text/plain"), (String = "application/openmetrics-text"))),
    )
)]
pub(crate) async fn metrics(
    State(api): State<Shared>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let format = format(&headers);
    let text = api.metrics_pages.page(format).text(async {
        // Refreshes the gauge `cxr_ready`, which no probe may have done recently.
        api.readiness.failed_checks().await;
        api.metrics.exposition(format).map_err(|error| {
            tracing::error!(cause = chain(&error), "writing metrics failed");
            ApiError::Failed { row: None }
        })
    });
    let text = Box::pin(text).await?;
    Ok(([(header::CONTENT_TYPE, content_type(format)), (header::VARY, "accept")], text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::convert::Infallible;
    use std::time::Duration;

    #[tokio::test]
    async fn concurrent_scrapes_share_one_page_and_none_gets_an_older_one() {
        let (metrics_page, n_written) = (MetricsPage::default(), AtomicU64::new(0));
        let ask = || {
            metrics_page.text(async {
                let number = n_written.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, Infallible>(number.to_string())
            })
        };
        let texts = futures_util::future::join_all((0..100).map(|_| ask())).await;
        let texts: Vec<Bytes> = texts.into_iter().map(Result::unwrap).collect();
        assert_eq!((&texts[0][..], &texts[99][..]), (&b"1"[..], &b"2"[..]));
        assert_eq!(n_written.load(Ordering::SeqCst), 2);
        assert_eq!(ask().await.unwrap(), "3");
        assert_eq!(texts[50].as_ptr(), texts[99].as_ptr(), "shared, not copied");
    }

    #[test]
    fn open_metrics_is_for_those_who_prefer_it() {
        let asked = |accept: &str| {
            let value = HeaderValue::from_str(accept).unwrap();
            format(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        for accept in [
            // Prometheus 2.42 and 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4",
            "Application/OpenMetrics-Text",
            "application/openmetrics-text; version=1.0.0, text/plain",
        ] {
            assert_eq!(asked(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain, application/openmetrics-text; version=1.0.0; q=0.5",
            "application/openmetrics-text; version=0.0.1",
            "application/openmetrics-text; q=0",
            "application/openmetrics-text; q=abc",
        ] {
            assert_eq!(asked(accept), Format::Text, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }
}
