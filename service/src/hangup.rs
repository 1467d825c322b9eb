//! SIGHUP: what was read from files at the start is read again. It never ends the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears every SIGHUP from its creation on. Each part of the service that can read again has one.
pub(crate) struct Hangup(Option<Signal>);

impl Hangup {
    /// Begins to listen. Call inside a Tokio runtime.
    pub(crate) fn listen() -> Self {
        let signal = signal(SignalKind::hangup());
        if let Err(error) = &signal {
            tracing::error!(%error, "cannot handle SIGHUP: the signal would end the service");
        }
        Self(signal.ok())
    }

    /// Waits for the next one.
    pub(crate) async fn received(&mut self) {
        let heard = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if heard.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
