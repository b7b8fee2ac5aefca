//! JWTs as session tokens: who may make them, by what key they are known, and what does not go
//! together. Whether a key is a good one is the verifier's to find out.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::not_printed;
use super::mistakes::Warning;
use super::reader::Reader;
use super::secret_files::{self, Given};
use super::uri::wrong;
use super::value::{Unfit, shown};
use super::{Secret, jwks_url, parse};

/// A shorter secret for HS256 can be guessed: as many bytes as its hash has.
const LEAST_SECRET: usize = 32;

/// A claim's name has at most so many bytes.
const MOST_CLAIM: usize = 200;

const KEY: &str = "jwt.key";
const KEY_FILE: &str = "jwt.key_file";
const JWKS_FILE: &str = "jwt.jwks_file";
const JWKS_URL: &str = "jwt.jwks_url";
const ISSUER: &str = "jwt.issuer";
const AUDIENCE: &str = "jwt.audience";
const ALGORITHMS: &str = "jwt.algorithms";

/// How a JWT is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must hold one of; at least one.
    pub audience: Vec<String>,
    /// The algorithms that are taken; at least one, and HS256 only alone.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Where the keys are.
    pub keys: JwtKeys,
    /// The file of the one key, if it is from one: it is read again while the server runs.
    pub key_file: Option<PathBuf>,
    /// The claim that names the account.
    pub account_claim: String,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
}

/// An algorithm that a JWT may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: a secret shared with the issuer.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl JwtAlgorithm {
    /// All algorithms with their names in the configuration and in a JWT.
    pub const ALL: &[(&str, Self)] = &[
        ("HS256", Self::Hs256),
        ("RS256", Self::Rs256),
        ("ES256", Self::Es256),
    ];
}

/// Where the keys are that JWTs are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// The shared secret of HS256, at least 32 bytes.
    Shared(Secret),
    /// The issuer's public key as PEM, for the one algorithm that is taken.
    PublicKey(String),
    /// A file with a set of keys (JWKS).
    JwksFile(PathBuf),
    /// A URL that gives a set of keys: https, or http on loopback.
    JwksUrl(String),
}

pub(super) fn jwt(reader: &mut Reader<'_>) -> Option<JwtConfig> {
    let issuer = reader.text(ISSUER);
    let audience = unique(reader.list(AUDIENCE));
    let algorithms = reader.parsed_list(ALGORITHMS, |s| parse::choice(s, JwtAlgorithm::ALL));
    let algorithms = unique(algorithms);
    let account_claim = reader.parsed("jwt.account_claim", String::new(), claim);
    let leeway = reader.time("jwt.leeway_seconds", 0..=300, 1);
    let Some(source) = source(reader) else {
        let any = !(issuer.is_empty() && audience.is_empty() && algorithms.is_empty());
        warn_without_key(reader, any);
        return None;
    };
    let config = JwtConfig {
        issuer,
        audience,
        algorithms,
        keys: keys(reader, &source)?,
        key_file: source.key_file().cloned(),
        account_claim,
        leeway,
    };
    require(reader, &source, &config);
    confusions(reader, &source, &config.algorithms);
    Some(config)
}

/// What was given for the keys, not looked into yet.
enum KeySource {
    Key(Given),
    File(PathBuf),
    Url(String),
}

impl KeySource {
    fn key_file(&self) -> Option<&PathBuf> {
        match self {
            Self::Key(given) => given.file.as_ref(),
            Self::File(_) | Self::Url(_) => None,
        }
    }

    fn path(&self) -> &'static str {
        match self {
            Self::Key(given) => given.path,
            Self::File(_) => JWKS_FILE,
            Self::Url(_) => JWKS_URL,
        }
    }
}

/// The one source of keys; none if none is given. Of several the first stands in for all.
fn source(reader: &mut Reader<'_>) -> Option<KeySource> {
    let key = secret_files::text(reader, KEY, KEY_FILE);
    let file = secret_files::readable(reader, JWKS_FILE);
    let url = reader.parsed(JWKS_URL, String::new(), jwks_url::read);
    let url = (!url.is_empty()).then_some(url);
    let sources = [
        key.map(KeySource::Key),
        file.map(KeySource::File),
        url.map(KeySource::Url),
    ];
    let mut sources: Vec<KeySource> = sources.into_iter().flatten().collect();
    if sources.len() > 1 {
        let paths: Vec<&str> = sources.iter().map(KeySource::path).collect();
        let problem = "the keys would come from more than one place";
        reader.contradiction(&paths, problem, "leave all but one empty");
    }
    (!sources.is_empty()).then(|| sources.swap_remove(0))
}

/// Silent where a key was given and is wrong: then that has been said.
fn warn_without_key(reader: &mut Reader<'_>, any: bool) {
    let given = |path: &&str| reader.settings.get(path).is_some_and(|s| s.rejected);
    if any && ![KEY, KEY_FILE, JWKS_FILE, JWKS_URL].iter().any(given) {
        reader.findings.warn(Warning::JwtWithoutKey);
    }
}

fn keys(reader: &mut Reader<'_>, source: &KeySource) -> Option<JwtKeys> {
    let given = match source {
        KeySource::Key(given) => given,
        KeySource::File(path) => return Some(JwtKeys::JwksFile(path.clone())),
        KeySource::Url(url) => return Some(JwtKeys::JwksUrl(url.clone())),
    };
    let key = key(&given.text);
    key.map_err(|unfit| reader.reject(given.path, unfit)).ok()
}

/// The key that a text is.
fn key(text: &str) -> Result<JwtKeys, Unfit> {
    if text.contains("PRIVATE KEY-----") {
        let remedy = "give the public one: openssl pkey -in KEY.pem -pubout; whoever saw this may \
                      have the private one now";
        return Err(wrong("this is a private key", remedy));
    }
    Ok(if is_pem(text) {
        JwtKeys::PublicKey(text.to_owned())
    } else {
        JwtKeys::Shared(Secret::new(text))
    })
}

/// The key in the text of a file that is read again, by the rules of the start.
pub(super) fn reread(text: &str, algorithms: &[JwtAlgorithm]) -> Result<JwtKeys, Unfit> {
    let text = secret_files::without_line_ends(text);
    not_printed(text)?;
    match unfit_key(text, algorithms) {
        Some(unfit) => Err(unfit),
        None => key(text),
    }
}

/// Why a key is none for these algorithms, if it is none.
fn unfit_key(text: &str, algorithms: &[JwtAlgorithm]) -> Option<Unfit> {
    let shared = algorithms.contains(&JwtAlgorithm::Hs256);
    if shared && is_pem(text) {
        let problem = "HS256 takes a secret, and this is a key in PEM that others may have";
        return Some(wrong(problem, "write RS256 or ES256, or give a secret"));
    }
    if shared && text.len() < LEAST_SECRET {
        let problem = format!("the secret has {} bytes", text.len());
        let remedy = format!("give {LEAST_SECRET} or more: openssl rand -base64 48");
        return Some((problem, remedy));
    }
    if !shared && !algorithms.is_empty() && !is_pem(text) {
        let problem = "RS256 and ES256 take a public key in PEM, and this is none";
        let remedy = "give one (-----BEGIN PUBLIC KEY-----), or write HS256";
        return Some(wrong(problem, remedy));
    }
    None
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// What a JWT must have is not for the server to guess.
fn require(reader: &mut Reader<'_>, source: &KeySource, config: &JwtConfig) {
    for (path, missing, remedy) in [
        (ISSUER, config.issuer.is_empty(), "write what iss must be"),
        (
            AUDIENCE,
            config.audience.is_empty(),
            "write what aud must hold",
        ),
        (
            ALGORITHMS,
            config.algorithms.is_empty(),
            "list those that the issuer signs with: HS256, RS256, ES256",
        ),
    ] {
        if missing {
            let problem = "there is a key for JWTs, but this is missing";
            reader.contradiction(&[path, source.path()], problem, remedy);
        }
    }
}

/// Keys that could be taken for keys of another kind, and keys that fit no algorithm.
fn confusions(reader: &mut Reader<'_>, source: &KeySource, algorithms: &[JwtAlgorithm]) {
    let shared = algorithms.contains(&JwtAlgorithm::Hs256);
    let paths = [ALGORITHMS, source.path()];
    if shared && algorithms.len() > 1 {
        reader.contradiction(
            &paths,
            "HS256 stands beside an algorithm with public keys: whoever has a public key could \
             sign with it as if it were the secret",
            "take HS256, or the others",
        );
        return;
    }
    if let KeySource::Key(given) = source
        && let Some((problem, remedy)) = unfit_key(&given.text, algorithms)
    {
        // Too short a secret is wrong by itself, the rest is a contradiction.
        if shared && !is_pem(&given.text) {
            reader.reject(given.path, (problem, remedy));
        } else {
            reader.contradiction(&paths, &problem, &remedy);
        }
        return;
    }
    match source {
        KeySource::Key(_) if algorithms.len() > 1 => reader.contradiction(
            &paths,
            "one public key is of one algorithm",
            "list that one only, or give a JWKS",
        ),
        KeySource::Url(_) if shared => reader.contradiction(
            &paths,
            "HS256 takes a secret, and what a URL gives is none",
            "write RS256 or ES256, or give the secret by jwt.key or jwt.jwks_file",
        ),
        _ => {}
    }
}

/// A claim's name.
fn claim(text: &str) -> Result<String, Unfit> {
    if (1..=MOST_CLAIM).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    let problem = format!("{} is no name of a claim", shown(text));
    Err((problem, "write one such as sub".to_owned()))
}

fn unique<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut unique = Vec::new();
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}
