//! API keys: secrets that never show themselves, the name each belongs to, and how both are
//! written.

use std::fmt;

use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::parse::is_name;
use super::value::Unfit;

/// A producer's most characters.
const MOST_PRODUCER: usize = 64;

/// The producer of a key without a name.
const DEFAULT_PRODUCER: &str = "default";

/// A secret of fewer characters than this can be guessed: it works, with a warning.
const SHORT_SECRET: usize = 16;

/// A secret's most characters.
const MOST_SECRET: usize = 512;

/// How a secret is shown.
pub(super) const HIDDEN: &str = "<hidden>";

/// Refuses what a printed configuration has in a secret's place.
pub(super) fn not_printed(secret: &str) -> Result<(), Unfit> {
    if secret == HIDDEN {
        let problem = "this is a printed configuration".to_owned();
        return Err((problem, "put the secret back in".to_owned()));
    }
    Ok(())
}

/// A text that is never shown: not by `Debug`, not by `Display`, and it can't be serialized.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the one place that has to show or send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// In a time that tells nothing but whether the lengths are equal.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// A service's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Who stages with it: `[A-Za-z0-9._-]{1,64}`. Several keys may have one producer, which is
    /// how a secret is rotated.
    pub producer: String,
    /// What the service shows: up to 512 visible ASCII characters.
    pub secret: Secret,
}

impl ApiKey {
    /// Reads `secret` or `name:secret`. What is wrong is said without the text.
    pub(super) fn read(text: &str) -> Result<Self, Unfit> {
        let (producer, secret) = text.split_once(':').unwrap_or((DEFAULT_PRODUCER, text));
        let refuse = |problem: &str, remedy: String| Err((problem.to_owned(), remedy));
        if !is_name(producer, MOST_PRODUCER) {
            return refuse(
                "what stands before the colon is no name",
                format!(
                    "write name:secret, the name of 1 to {MOST_PRODUCER} letters, digits, \".\", \
                     \"_\" and \"-\""
                ),
            );
        }
        not_printed(secret)?;
        if !secret
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            return refuse(
                "the secret holds a space, a comma or a character outside ASCII",
                "make one with: openssl rand -hex 24".to_owned(),
            );
        }
        if !(1..=MOST_SECRET).contains(&secret.len()) {
            return refuse(
                &format!("the secret has {} characters", secret.len()),
                format!("give it {SHORT_SECRET} to {MOST_SECRET}: openssl rand -hex 24"),
            );
        }
        Ok(Self {
            producer: producer.to_owned(),
            secret: Secret::new(secret),
        })
    }

    /// Whether its secret is so short that it can be guessed.
    fn is_short(&self) -> bool {
        self.secret.reveal().len() < SHORT_SECRET
    }

    /// The text of a key with its producer only.
    pub(super) fn hidden(text: &str) -> String {
        Self::read(text).map_or(HIDDEN.to_owned(), |key| {
            format!("{}:{HIDDEN}", key.producer)
        })
    }
}

impl ReadKeys {
    fn add(&mut self, number: usize, key: ApiKey) {
        if key.is_short() {
            self.short.push(number);
        }
        if !self.keys.add(key) {
            let problem = format!("key {number} has the secret of a key before it");
            self.unfit
                .push((problem, "take one of them out".to_owned()));
        }
    }
}

/// The keys that are valid now. No two have the same secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<ApiKey>);

/// What a list of keys is found to be.
pub(super) struct ReadKeys {
    /// Those that can be used.
    pub(super) keys: ApiKeys,
    /// The places, from one on, of those that can be guessed.
    pub(super) short: Vec<usize>,
    /// What is wrong with the others, said without them.
    pub(super) unfit: Vec<Unfit>,
}

impl ApiKeys {
    /// Reads a list, each item as `secret` or `name:secret`.
    pub(super) fn read<'a>(texts: impl Iterator<Item = &'a str>) -> ReadKeys {
        let mut read = ReadKeys {
            keys: Self::default(),
            short: Vec::new(),
            unfit: Vec::new(),
        };
        for (number, text) in (1..).zip(texts) {
            match ApiKey::read(text) {
                Ok(key) => read.add(number, key),
                Err((problem, remedy)) => {
                    let problem = format!("key {number}: {problem}");
                    read.unfit.push((problem, remedy));
                }
            }
        }
        read
    }

    /// Takes keys; of two with one secret the first counts.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let mut all = Self::default();
        for key in keys {
            all.add(key);
        }
        all
    }

    /// Adds a key, unless its secret is there already.
    fn add(&mut self, key: ApiKey) -> bool {
        let new = self.0.iter().all(|known| known.secret != key.secret);
        if new {
            self.0.push(key);
        }
        new
    }

    /// The producer whose key this is. Takes the same time whichever key it is, and whether it is
    /// one; only the length of a secret shows.
    #[must_use]
    pub fn producer_of(&self, shown: &str) -> Option<&str> {
        let mut found = 0;
        for (number, key) in (1_u64..).zip(&self.0) {
            let hit = key.secret.reveal().as_bytes().ct_eq(shown.as_bytes());
            found.conditional_assign(&number, hit);
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        self.0.get(index).map(|key| key.producer.as_str())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.iter()
    }
}
