//! TLS: certificate, key and, for client certificates, the trusted authorities. Changed files are loaded
//! every minute and at SIGHUP, so that a renewed certificate needs no restart.

use crate::config::http::TlsConfig;
use crate::hangup::Hangup;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: {} holds no {what} in PEM", path.display())]
    Pem {
        /// The section of the configuration that names the file.
        key: &'static str,
        path: PathBuf,
        what: &'static str,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{0}: {path} does not hold an X.509 certificate", path = .1.display())]
    Certificate(&'static str, PathBuf, #[source] x509_cert::der::Error),
    #[error("{0}: certificate, key and authorities do not belong together")]
    Config(&'static str, #[source] rustls::Error),
    #[error("{0}.client_authorities_file cannot be used")]
    Authorities(&'static str, #[source] rustls::server::VerifierBuilderError),
}

/// The current TLS configuration of a listener.
pub(super) struct Tls {
    key: &'static str,
    files: TlsConfig,
    current: RwLock<(Arc<ServerConfig>, Vec<SystemTime>)>,
    metrics: Arc<Metrics>,
}

impl Tls {
    /// `key` is the section of the configuration that names the files; errors and metrics carry it.
    pub(super) fn load(
        key: &'static str,
        files: &TlsConfig,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let read_at = modification_times(files);
        let (config, expires) = read(key, files)?;
        metrics.certificate(key, expires);
        let current = RwLock::new((Arc::new(config), read_at));
        Ok(Self { key, files: files.clone(), current, metrics })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.0))
    }

    /// Loads changed files for as long as the process lives. If they do not match, the current ones stay.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut hangup = Hangup::listen();
        loop {
            tokio::select! {
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
                () = hangup.received() => {}
            }
            let found = modification_times(&self.files);
            if self.current.read().unwrap_or_else(PoisonError::into_inner).1 == found {
                continue;
            }
            match read(self.key, &self.files) {
                Ok((config, expires)) => {
                    self.metrics.certificate(self.key, expires);
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = (Arc::new(config), found);
                    tracing::info!("TLS certificate reloaded");
                }
                Err(error) => {
                    tracing::error!(
                        cause = chain(&error),
                        "reloading the TLS certificate failed; keeping the current one"
                    );
                }
            }
        }
    }
}

/// Checks that TLS can be served with these files, and returns when the certificate expires.
pub fn certificate_expiry(key: &'static str, files: &TlsConfig) -> Result<SystemTime, TlsError> {
    read(key, files).map(|(_, expires)| expires)
}

fn modification_times(files: &TlsConfig) -> Vec<SystemTime> {
    let paths =
        [&files.certificate_file, &files.private_key_file].into_iter().chain(&files.client_authorities_file);
    paths.filter_map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()).collect()
}

fn read(key: &'static str, files: &TlsConfig) -> Result<(ServerConfig, SystemTime), TlsError> {
    let certificates = certificates(key, &files.certificate_file)?;
    // The first one is the service's own.
    let own = Certificate::from_der(certificates.first().map(AsRef::as_ref).unwrap_or_default());
    let own = own.map_err(|source| TlsError::Certificate(key, files.certificate_file.clone(), source))?;
    let expires = SystemTime::UNIX_EPOCH + own.tbs_certificate().validity().not_after.to_unix_duration();
    let config_error = |source| TlsError::Config(key, source);
    let path = &files.private_key_file;
    let failed = |source| TlsError::Pem { key, path: path.clone(), what: "private key", source };
    let private_key = PrivateKeyDer::from_pem_file(path).map_err(failed)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(config_error)?;
    let builder = match &files.client_authorities_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in self::certificates(key, path)? {
                roots.add(authority).map_err(config_error)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|source| TlsError::Authorities(key, source))?)
        }
    };
    let mut config = builder.with_single_cert(certificates, private_key).map_err(config_error)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, expires))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { key, path: path.to_owned(), what: "certificate", source };
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)
}
