//! Encryption towards Redis: files to a configuration of the TLS library. The same provider (ring) as MongoDB's driver.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::endpoint::Tls;

/// The settings for encryption can't be used. Names files, never what is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("encryption to Redis: {0}")]
pub struct TlsError(String);

/// The files' contents, as PEM.
#[derive(Clone, Default)]
pub(super) struct Files {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Reads the files.
///
/// # Errors
/// When one can't be read, or of certificate and key there is only one.
pub(super) fn read(tls: &Tls) -> Result<Files, TlsError> {
    let ca = tls.ca_file.as_deref().map(read_file).transpose()?;
    let client = match (&tls.client_cert_file, &tls.client_key_file) {
        (Some(certificate), Some(key)) => Some((read_file(certificate)?, read_file(key)?)),
        (None, None) => None,
        _ => {
            let reason = "a client certificate needs its key, and the other way round";
            return Err(TlsError(reason.to_owned()));
        }
    };
    Ok(Files { ca, client })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError(format!("{}: {error}", path.display())))
}

/// Makes the library's configuration of them. With a CA file it alone is trusted, else the well-known authorities.
///
/// # Errors
/// When a file is not what it should be.
pub(super) fn configure(files: &Files) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .with_root_certificates(roots(files.ca.as_deref())?);
    let Some((certificate, key)) = &files.client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates(certificate, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| TlsError("the client key is no PEM file of a key".to_owned()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map(Arc::new)
        .map_err(|error| TlsError(format!("client certificate and key: {error}")))
}

fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    let Some(ca) = ca else {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        return Ok(roots.collect());
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "the CA file")? {
        roots
            .add(certificate)
            .map_err(|error| TlsError(format!("the CA file: {error}")))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError(format!("{what} has no certificate in PEM"))),
    }
}
