//! `/metrics`. Scrapes that arrive while a page is rendered share the next one, so that a flood costs one
//! page at a time.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::telemetry::logs::chain;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// The newest page.
#[derive(Debug, Default)]
pub struct MetricsPage {
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

/// Metrics for Prometheus, in its text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    security(()),
    responses((status = 200, description = "All metrics of this replica", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(api): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let text = api.metrics_page.text(async {
        // Refreshes the gauge `cxr_ready`, which no probe may have done recently.
        api.readiness.failed_checks().await;
        api.metrics.exposition().map_err(|error| {
            tracing::error!(cause = chain(&error), "writing metrics failed");
            ApiError::Failed { row: None }
        })
    });
    let text = Box::pin(text).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
