//! Who may do what: `auth`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::refs::SecretKeyRef;

/// Credentials of services and clients.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// The Secret key with the API keys of the services that stage notices: "secret" or "name:secret", one a line or with
    /// commas. Without it no service can stage or issue session tokens. A changed value is taken without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys_secret_ref: Option<SecretKeyRef>,
    /// JWTs as session tokens, beside those that services issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtSpec>,
    /// Web sites, besides the server's own, whose pages may use the session cookie, such as https://app.example.com.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(
            length(min = 1, max = 300),
            regex(pattern = r"^[a-zA-Z][-+.a-zA-Z0-9]*://[^/*\s]+$")
        )
    )]
    pub allowed_origins: Vec<String>,
}

/// How JWTs are checked.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.jwksUrl) != has(self.keySecretRef)")
        .message("auth.jwt needs exactly one source of keys: set either jwksUrl or keySecretRef"),
    validation = Rule::new("!has(self.algorithms) || !self.algorithms.exists(a, a == 'HS256') || has(self.keySecretRef)")
        .message("HS256 needs the shared secret, which no URL publishes: set auth.jwt.keySecretRef, or list RS256 or ES256"),
    validation = Rule::new("!has(self.algorithms) || !has(self.keySecretRef) || self.algorithms.size() <= 1")
        .message("the one key of auth.jwt.keySecretRef is for one algorithm: list only that one in auth.jwt.algorithms, or use jwksUrl"),
    validation = Rule::new("has(self.issuer) && has(self.audience)")
        .message("auth.jwt needs issuer and audience: set them to the iss and aud of your tokens"),
    validation = Rule::new("has(self.algorithms) && self.algorithms.size() > 0")
        .message("auth.jwt needs algorithms: list what your issuer signs with, one of HS256, RS256, ES256")
)]
pub struct JwtSpec {
    /// Where the issuer publishes its set of public keys (JWKS), by https. Instead of keySecretRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 9, max = 2048),
        regex(pattern = r"^https://[^\s/?#@]+([/?][^\s#]*)?$")
    )]
    pub jwks_url: Option<String>,
    /// The Secret key with the one key: for HS256 the shared secret (32 bytes or more), otherwise the issuer's public key in
    /// PEM. Instead of jwksUrl. A changed value is taken without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyRef>,
    /// What iss must be, letter for letter. Needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// What aud must hold. Needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,
    /// What a token may be signed with. Needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub algorithms: Vec<JwtAlgorithm>,
    /// The claim that names the account. Default: sub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub account_claim: Option<String>,
}

/// An algorithm of signatures.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of RFC 7518")]
pub enum JwtAlgorithm {
    HS256,
    RS256,
    ES256,
}

impl JwtAlgorithm {
    /// Its name in the server's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
        }
    }
}
