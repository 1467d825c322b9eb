//! TLS where it does not end in front of the service: certificate, key and, where clients must show one, the authorities that count. The
//! files are looked at again every minute and at SIGHUP, so that a renewed certificate needs no restart.

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

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds something else.
    #[error("{key}: {} holds no {what} in PEM", path.display())]
    Pem {
        /// The section of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The first certificate cannot be read.
    #[error("{key}: {} does not hold an X.509 certificate", path.display())]
    Certificate {
        /// The section of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: x509_cert::der::Error,
    },
    /// The parts do not belong together.
    #[error("{0}: certificate, key and authorities do not belong together")]
    Config(&'static str, #[source] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("{0}.client_authorities_file cannot be used")]
    Authorities(&'static str, #[source] rustls::server::VerifierBuilderError),
}

/// What connections are accepted with now.
pub(super) struct Tls {
    key: &'static str,
    files: TlsConfig,
    current: RwLock<(Arc<ServerConfig>, Vec<SystemTime>)>,
    metrics: Arc<Metrics>,
}

impl Tls {
    /// Reads the files; `key` is the section of the configuration that names them.
    pub(super) fn load(
        key: &'static str,
        files: &TlsConfig,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let read_at = times(files);
        let (config, expires) = read(key, files)?;
        metrics.certificate(key, expires);
        let current = RwLock::new((Arc::new(config), read_at));
        Ok(Self { key, files: files.clone(), current, metrics })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.0))
    }

    /// Takes over renewed files, for as long as the process lives. Files that do not belong together change nothing.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut hangup = Hangup::listen();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = hangup.received() => {}
            }
            let found = times(&self.files);
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

/// When the certificate of these files expires, once all of them could be used.
///
/// # Errors
/// When TLS could not be served with them.
pub fn certificate_expiry(key: &'static str, files: &TlsConfig) -> Result<SystemTime, TlsError> {
    read(key, files).map(|(_, expires)| expires)
}

fn times(files: &TlsConfig) -> Vec<SystemTime> {
    let paths =
        [&files.certificate_file, &files.private_key_file].into_iter().chain(&files.client_authorities_file);
    paths.filter_map(|path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok()).collect()
}

/// What connections are accepted with, and when its certificate expires.
fn read(key: &'static str, files: &TlsConfig) -> Result<(ServerConfig, SystemTime), TlsError> {
    let certificates = certificates(key, &files.certificate_file)?;
    let expires = expiry(key, &files.certificate_file, &certificates)?;
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

/// When the service's own certificate, the first, expires.
fn expiry(
    key: &'static str,
    path: &Path,
    certificates: &[CertificateDer<'_>],
) -> Result<SystemTime, TlsError> {
    let first = certificates.first().map(AsRef::as_ref).unwrap_or_default();
    let failed = |source| TlsError::Certificate { key, path: path.to_owned(), source };
    let certificate = Certificate::from_der(first).map_err(failed)?;
    let expires = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Ok(SystemTime::UNIX_EPOCH + expires)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { key, path: path.to_owned(), what: "certificate", source };
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)
}
