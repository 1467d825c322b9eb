//! SIGHUP: reloads bundle, TLS files and token keys instead of ending the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives every SIGHUP from its creation on. Each part of the service that reloads something has its own.
pub(crate) struct Hangup(Option<Signal>);

impl Hangup {
    /// Installs the signal handler; needs a Tokio runtime.
    pub(crate) fn listen() -> Self {
        let signal = signal(SignalKind::hangup());
        if let Err(error) = &signal {
            tracing::error!(%error, "cannot handle SIGHUP: the signal would end the service");
        }
        Self(signal.ok())
    }

    pub(crate) async fn received(&mut self) {
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
