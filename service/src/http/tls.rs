//! TLS where it does not end in front of the service: certificate, key and, where clients must show one, the authorities that count. The
//! files are looked at again every minute, so that a renewed certificate needs no restart.

use crate::config::http::TlsConfig;
use crate::telemetry::logs::chain;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds something else.
    #[error("service.http.tls: {} holds no {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The parts do not belong together.
    #[error("service.http.tls: certificate, key and authorities do not belong together")]
    Config(#[source] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("service.http.tls.client_authorities_file cannot be used")]
    Authorities(#[source] rustls::server::VerifierBuilderError),
}

/// What connections are accepted with now.
pub(super) struct Tls {
    files: TlsConfig,
    current: RwLock<(Arc<ServerConfig>, Vec<SystemTime>)>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn load(files: &TlsConfig) -> Result<Self, TlsError> {
        let read_at = times(files);
        Ok(Self { files: files.clone(), current: RwLock::new((Arc::new(read(files)?), read_at)) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.0))
    }

    /// Takes over renewed files, for as long as the process lives. Files that do not belong together change nothing.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let found = times(&self.files);
            if self.current.read().unwrap_or_else(PoisonError::into_inner).1 == found {
                continue;
            }
            match read(&self.files) {
                Ok(config) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = (Arc::new(config), found);
                    tracing::info!("the renewed certificate is in use");
                }
                Err(error) => {
                    tracing::error!(
                        cause = chain(&error),
                        "the renewed certificate cannot be used, the old one goes on"
                    );
                }
            }
        }
    }
}

fn times(files: &TlsConfig) -> Vec<SystemTime> {
    let paths =
        [&files.certificate_file, &files.private_key_file].into_iter().chain(&files.client_authorities_file);
    paths.filter_map(|path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok()).collect()
}

fn read(files: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let certificates = certificates(&files.certificate_file)?;
    let path = &files.private_key_file;
    let failed = |source| TlsError::Pem { path: path.clone(), what: "private key", source };
    let key = PrivateKeyDer::from_pem_file(path).map_err(failed)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Config)?;
    let builder = match &files.client_authorities_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in self::certificates(path)? {
                roots.add(authority).map_err(TlsError::Config)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(TlsError::Authorities)?)
        }
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::Config)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { path: path.to_owned(), what: "certificate", source };
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)
}
