//! Who asks: the API server asks in somebody's name, and proves itself by its front-proxy certificate. Pure.
//!
//! By <https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/>.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::refusal::Refusal;

/// Where the API server tells how it proves itself.
pub(super) const NAMESPACE: &str = "kube-system";
/// The ConfigMap there.
pub(super) const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// How the API server proves itself, and in which headers it says who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FrontProxy {
    /// Who signs its certificates, in PEM; empty: nobody can prove anything.
    pub(super) authorities: String,
    allowed_names: Vec<String>,
    user: Vec<String>,
    group: Vec<String>,
    extra: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Caller {
    /// The user's name.
    pub(super) user: String,
    /// The user's groups.
    pub(super) groups: Vec<String>,
    /// More that is known of the user.
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

impl FrontProxy {
    /// Out of the ConfigMap.
    #[must_use]
    pub(super) fn of(object: &Value) -> Self {
        let text = |name: &str| object["data"][name].as_str().unwrap_or_default();
        let list = |name: &str| serde_json::from_str::<Vec<String>>(text(name)).unwrap_or_default();
        Self {
            authorities: text("requestheader-client-ca-file").to_owned(),
            allowed_names: list("requestheader-allowed-names"),
            user: list("requestheader-username-headers"),
            group: list("requestheader-group-headers"),
            extra: list("requestheader-extra-headers-prefix")
                .iter()
                .map(|it| it.to_ascii_lowercase())
                .collect(),
        }
    }

    /// Who asks, by the connection's certificate (verified, in DER) and a request's headers.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`].
    pub(super) fn caller(
        &self,
        certificate: Option<&[u8]>,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        let unknown =
            |why: &str| Refusal::Unauthorized(format!("{why}: ask through the API server"));
        let certificate =
            certificate.ok_or_else(|| unknown("the connection has no client certificate"))?;
        let name = common_name(certificate).unwrap_or_default();
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&name) {
            return Err(unknown("the client certificate is of somebody else"));
        }
        let values = |names: &[String]| {
            let all = names.iter().flat_map(|name| headers.get_all(name));
            let all = all
                .filter_map(|it| it.to_str().ok())
                .filter(|it| !it.is_empty());
            all.map(str::to_owned).collect::<Vec<_>>()
        };
        let user = values(&self.user).into_iter().next();
        Ok(Caller {
            user: user.ok_or_else(|| unknown("no header says who asks"))?,
            groups: values(&self.group),
            extra: self.extras(headers),
        })
    }

    fn extras(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extras = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in headers {
            let key = self
                .extra
                .iter()
                .find_map(|prefix| name.as_str().strip_prefix(prefix));
            if let (Some(key), Ok(value)) = (key, value.to_str()) {
                let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                extras.entry(key).or_default().push(value.to_owned());
            }
        }
        extras
    }
}

fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};
    use serde_json::json;

    fn front_proxy(names: &str) -> FrontProxy {
        FrontProxy::of(&json!({"data": {
            "requestheader-client-ca-file": "PEM", "requestheader-allowed-names": names,
            "requestheader-username-headers": "[\"X-Remote-User\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
        }}))
    }

    fn certificate(name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn who_asks_is_who_the_api_server_says() {
        let headers = headers(&[
            ("x-remote-user", "hpa"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-scopes.example%2fread", "1"),
        ]);
        let caller = front_proxy("[\"aggregator\"]")
            .caller(Some(&certificate("aggregator")), &headers)
            .unwrap();
        assert_eq!(
            (caller.user.as_str(), caller.groups.as_slice()),
            ("hpa", ["a".to_owned(), "b".to_owned()].as_slice())
        );
        assert_eq!(caller.extra["scopes.example/read"], ["1"]);
    }

    #[test]
    fn a_stranger_may_say_what_it_wants() {
        let headers = headers(&[
            ("x-remote-user", "admin"),
            ("x-remote-group", "system:masters"),
        ]);
        let refused = |names: &str, certificate: Option<&[u8]>| {
            let refused = front_proxy(names).caller(certificate, &headers);
            matches!(refused, Err(Refusal::Unauthorized(_)))
        };
        assert!(refused("[\"aggregator\"]", None));
        assert!(refused("[]", None));
        assert!(refused("[\"aggregator\"]", Some(&certificate("somebody"))));
        assert!(
            !refused("[]", Some(&certificate("anybody"))),
            "every name is allowed where none is told"
        );
        let nobody = front_proxy("[]").caller(Some(&certificate("aggregator")), &HeaderMap::new());
        assert!(nobody.is_err());
    }
}
