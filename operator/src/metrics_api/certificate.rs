//! The certificates that the API is served with: made here, signed by themselves, and renewed in time. Pure, but for
//! chance.
//!
//! All replicas serve with the same one, and the API server trusts exactly those that it is told (`caBundle`). A renewal
//! must not fail a call on the way: a new certificate is made and told first, served with from an hour later, and an hour
//! after that the one before it is forgotten. When that is follows from the certificate alone, so replicas agree without
//! a word.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long a certificate is good.
const LIFE: u64 = 90 * 86_400;
/// After so long a new one is made.
const RENEW_AFTER: u64 = 60 * 86_400;
/// The new one is served with so much later, and the old one forgotten after that time again.
const OVERLAP: u64 = 3600;
/// Clocks differ: it is good from a little earlier on.
const SKEW: u64 = 300;

/// Entries of the Secret.
const CURRENT: [&str; 2] = ["tls.crt", "tls.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];

/// Why a certificate can't be made or used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// It can't be made.
    #[error("a certificate for the metrics API can't be made: {0}")]
    Make(#[from] rcgen::Error),
    /// It can't be used.
    #[error("the certificate of the metrics API can't be used: {0}")]
    Use(String),
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    certificate: String,
    key: String,
    /// From when to when it is good, in seconds since 1970.
    begins: u64,
    ends: u64,
    host: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("host", &self.host)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl Pair {
    fn make(host: &str, now: u64) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "notice-operator-metrics-api");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = time_of(now - SKEW)?;
        params.not_after = time_of(now + LIFE)?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Self::read(certificate, key.serialize_pem())
    }

    /// Whatever is read here was made here, or is broken.
    fn read(certificate: String, key: String) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(unusable)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(unusable)?;
        let names = parsed.subject_alternative_name().map_err(unusable)?;
        let host = names
            .into_iter()
            .flat_map(|it| &it.value.general_names)
            .find_map(|it| match it {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            });
        let validity = parsed.validity();
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        Ok(Self {
            begins: seconds(validity.not_before.timestamp()),
            ends: seconds(validity.not_after.timestamp()),
            host: host.ok_or_else(|| CertificateError::Use("it names no host".to_owned()))?,
            certificate,
            key,
        })
    }

    fn made(&self) -> u64 {
        self.begins + SKEW
    }
}

fn time_of(seconds: u64) -> Result<OffsetDateTime, CertificateError> {
    let seconds = i64::try_from(seconds).map_err(unusable)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Use(error.to_string())
}

/// The one that is served with, and the one that will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificates {
    current: Pair,
    next: Option<Pair>,
}

impl Certificates {
    /// Out of the entries of their Secret.
    ///
    /// # Errors
    /// One is missing or broken.
    pub(super) fn from_entries(
        entries: &BTreeMap<String, ByteString>,
    ) -> Result<Self, CertificateError> {
        let text = |name: &str| {
            let bytes = entries.get(name).map(|it| it.0.clone()).unwrap_or_default();
            String::from_utf8(bytes).map_err(unusable)
        };
        let next = if NEXT.iter().any(|it| entries.contains_key(*it)) {
            Some(Pair::read(text(NEXT[0])?, text(NEXT[1])?)?)
        } else {
            None
        };
        Ok(Self {
            current: Pair::read(text(CURRENT[0])?, text(CURRENT[1])?)?,
            next,
        })
    }

    /// The entries of their Secret.
    #[must_use]
    pub(super) fn entries(&self) -> BTreeMap<String, ByteString> {
        let of = |names: [&str; 2], pair: &Pair| {
            [(names[0], &pair.certificate), (names[1], &pair.key)]
                .map(|(name, text)| (name.to_owned(), ByteString(text.clone().into_bytes())))
        };
        let next = self.next.iter().flat_map(|pair| of(NEXT, pair));
        of(CURRENT, &self.current).into_iter().chain(next).collect()
    }

    /// What there should be instead of what was `found`, if it should be anything else: a first certificate, the next one
    /// in time, or the next one alone.
    ///
    /// # Errors
    /// A certificate can't be made.
    pub(super) fn due(
        found: Option<&Self>,
        host: &str,
        now: u64,
    ) -> Result<Option<Self>, CertificateError> {
        let good = |pair: &&Pair| pair.host == host && now < pair.ends;
        let Some(found) = found.filter(|it| good(&&it.current)) else {
            return Ok(Some(Self {
                current: Pair::make(host, now)?,
                next: None,
            }));
        };
        match found.next.as_ref().filter(good) {
            Some(next) if now >= next.made() + 2 * OVERLAP => Ok(Some(Self {
                current: next.clone(),
                next: None,
            })),
            Some(_) => Ok(None),
            None if found.next.is_some() || now >= found.current.made() + RENEW_AFTER => {
                Ok(Some(Self {
                    current: found.current.clone(),
                    next: Some(Pair::make(host, now)?),
                }))
            }
            None => Ok(None),
        }
    }

    /// The one to serve with at this time.
    #[must_use]
    pub(super) fn serving(&self, now: u64) -> &Pair {
        let next = self.next.as_ref().filter(|it| now >= it.made() + OVERLAP);
        next.unwrap_or(&self.current)
    }

    /// What the API server is to trust.
    #[must_use]
    pub(super) fn bundle(&self) -> String {
        let next = self.next.iter().map(|it| it.certificate.as_str());
        std::iter::once(self.current.certificate.as_str())
            .chain(next)
            .collect()
    }
}

/// How the API is served: with this certificate, and to everybody. A client's certificate is verified by these
/// `authorities`, in PEM; who has none is known to nobody.
///
/// # Errors
/// The certificate can't be used.
pub(super) fn tls(pair: &Pair, authorities: &str) -> Result<Arc<ServerConfig>, CertificateError> {
    let builder = ServerConfig::builder();
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(authority.map_err(unusable)?).map_err(unusable)?;
    }
    let builder = if roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
        builder.with_client_cert_verifier(verifier.build().map_err(unusable)?)
    };
    let chain =
        vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).map_err(unusable)?];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(unusable)?;
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, ServerConnection};

    const HOST: &str = "notice-operator-metrics-api.notice-system.svc";
    const NOW: u64 = 1_800_000_000;

    fn fresh() -> Certificates {
        Certificates::due(None, HOST, NOW).unwrap().unwrap()
    }

    fn due(found: &Certificates, now: u64) -> Option<Certificates> {
        Certificates::due(Some(found), HOST, now).unwrap()
    }

    #[test]
    fn they_are_the_same_after_their_secret_and_show_no_key() {
        let renewed = due(&fresh(), NOW + RENEW_AFTER).unwrap();
        for certificates in [fresh(), renewed] {
            let again = Certificates::from_entries(&certificates.entries()).unwrap();
            assert_eq!(again, certificates);
            assert!(!format!("{again:?}").contains("PRIVATE"));
        }
        let mut entries = fresh().entries();
        entries.remove("tls.key");
        let broken = Certificates::from_entries(&entries);
        assert!(broken.is_err() || tls(broken.unwrap().serving(NOW), "").is_err());
    }

    #[test]
    fn a_renewal_is_told_first_served_with_later_and_alone_at_last() {
        let first = fresh();
        assert_eq!(due(&first, NOW + RENEW_AFTER - 1), None);
        let made = NOW + RENEW_AFTER;
        let renewed = due(&first, made).unwrap();
        assert_eq!(renewed.serving(made + OVERLAP - 1), &first.current);
        assert!(renewed.bundle().contains(&first.current.certificate));
        let next = renewed.next.clone().unwrap();
        assert_eq!(renewed.serving(made + OVERLAP), &next);
        assert_eq!(due(&renewed, made + 2 * OVERLAP - 1), None);
        let alone = due(&renewed, made + 2 * OVERLAP).unwrap();
        assert_eq!((&alone.current, &alone.next), (&next, &None));
    }

    #[test]
    fn one_that_is_over_or_of_another_name_is_replaced_at_once() {
        let first = fresh();
        assert!(due(&first, NOW + LIFE).unwrap().next.is_none());
        let other = Certificates::due(Some(&first), "other.svc", NOW)
            .unwrap()
            .unwrap();
        assert_eq!(other.current.host, "other.svc");
    }

    /// A handshake in memory, by a client that trusts the bundle.
    fn handshake(bundle: &str, pair: &Pair) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(HOST).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(tls(pair, "").unwrap()).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn who_trusts_the_bundle_accepts_what_is_served_now_and_next_and_nothing_else() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let now = crate::clock::unix_seconds();
        let first = Certificates::due(None, HOST, now - RENEW_AFTER)
            .unwrap()
            .unwrap();
        let renewed = due(&first, now).unwrap();
        handshake(&renewed.bundle(), &first.current).unwrap();
        handshake(&renewed.bundle(), renewed.next.as_ref().unwrap()).unwrap();
        let stranger = Certificates::due(None, HOST, now).unwrap().unwrap();
        assert!(handshake(&renewed.bundle(), stranger.serving(now)).is_err());
    }
}
