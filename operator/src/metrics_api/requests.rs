//! What is asked for, from path and query. Pure.

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use super::selector;
use kube::core::Selector;

/// The API group.
pub const GROUP: &str = "custom.metrics.k8s.io";

/// The one metric that there is.
pub(super) const METRIC: &str = "notice_online_sessions";

/// The versions of the API, the preferred one first. They differ in how a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// What Kubernetes' autoscaler has asked for since 1.11.
    V1Beta2,
    /// What older tools ask for.
    V1Beta1,
}

impl Version {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::V1Beta2, Self::V1Beta1];

    /// Its name.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V1Beta2 => "v1beta2",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// `/apis`: the groups.
    Groups,
    /// `/apis/GROUP`: its versions.
    Group,
    /// `/apis/GROUP/VERSION`: its resources.
    Resources(Version),
    /// `/openapi/v2`: no schema is told, and that is allowed.
    OpenApiV2,
    /// `/openapi/v3`: likewise.
    OpenApiV3,
    /// Sessions of pods.
    Sessions(SessionsAsked),
}

/// `/apis/GROUP/VERSION/namespaces/NAMESPACE/pods/NAME/METRIC`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SessionsAsked {
    /// How values are to be written.
    pub(super) version: Version,
    /// The pods' namespace.
    pub(super) namespace: String,
    /// One pod, or `*` for all that are selected.
    pub(super) name: String,
    /// Which pods, where all are asked for.
    pub(super) pods: Selector,
}

/// Reads a request's path and query.
///
/// # Errors
/// A [`Refusal`]: there is no such thing, or the selector makes no sense.
pub(super) fn parse(path: &str, query: Option<&str>) -> Result<Asked, Refusal> {
    let decoded: Result<Vec<_>, _> = path
        .split('/')
        .filter(|it| !it.is_empty())
        .map(|it| percent_decode_str(it).decode_utf8())
        .collect();
    let parts = decoded.map_err(|_| Refusal::BadRequest("the path is no UTF-8".to_owned()))?;
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    let unknown = || Refusal::NotFound(format!("there is nothing at {path}"));
    match parts.as_slice() {
        ["openapi", "v2"] => Ok(Asked::OpenApiV2),
        ["openapi", "v3"] => Ok(Asked::OpenApiV3),
        ["apis"] => Ok(Asked::Groups),
        ["apis", GROUP] => Ok(Asked::Group),
        ["apis", GROUP, of] => Ok(Asked::Resources(version(of).ok_or_else(unknown)?)),
        [
            "apis",
            GROUP,
            of,
            "namespaces",
            namespace,
            "pods",
            name,
            METRIC,
        ] => {
            let version = version(of).ok_or_else(unknown)?;
            let pods = selector::parse(&parameter(query, "labelSelector"));
            Ok(Asked::Sessions(SessionsAsked {
                version,
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
                pods: pods.map_err(|error| Refusal::BadRequest(error.to_string()))?,
            }))
        }
        ["apis", GROUP, .., metric] => Err(Refusal::NotFound(format!(
            "the server knows of no metric {metric} of this object: there is {METRIC} of pods"
        ))),
        _ => Err(unknown()),
    }
}

fn version(name: &str) -> Option<Version> {
    Version::ALL.into_iter().find(|it| it.name() == name)
}

fn parameter(query: Option<&str>, name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let found = pairs.find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_autoscalers_own_request_is_understood() {
        let path =
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/im/pods/%2A/notice_online_sessions";
        let asked = parse(
            path,
            Some("labelSelector=app.kubernetes.io%2Finstance%3Drides"),
        );
        let Ok(Asked::Sessions(asked)) = asked else {
            panic!("{asked:?}");
        };
        assert_eq!((asked.namespace.as_str(), asked.name.as_str()), ("im", "*"));
        assert_eq!(asked.pods.to_string(), "app.kubernetes.io/instance=rides");
    }

    #[test]
    fn what_there_is_not_is_said() {
        let refused = |path| parse(path, None).unwrap_err();
        let base = "/apis/custom.metrics.k8s.io";
        for path in [
            "/",
            "/api/v1",
            &format!("{base}/v1"),
            &format!("{base}/v1beta2/namespaces/im/pods/a/cpu"),
        ] {
            assert!(matches!(refused(path), Refusal::NotFound(_)), "{path}");
        }
        let selected = format!("{base}/v1beta1/namespaces/im/pods/*/notice_online_sessions");
        let refused = parse(&selected, Some("labelSelector=a+b")).unwrap_err();
        assert!(matches!(refused, Refusal::BadRequest(_)), "{refused:?}");
    }

    proptest! {
        #[test]
        fn no_path_breaks_it(path in "(/[a-z%*.0-9]{0,20}){0,9}", query in prop::option::of(".{0,60}")) {
            let _either_way = parse(&path, query.as_deref());
        }
    }
}
