//! What can be said about a configuration: mistakes, which stop the server, and warnings. They are
//! gathered while the layers are read, so that a person sees all of them at once.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::{Settings, Source, Sources};
use super::{Config, Loaded};

/// What a mistake is about, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The setting, variable or file.
    pub subject: String,
    /// Where its value was given.
    pub source: Source,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        let source = self.source.to_string();
        if source == self.subject {
            Ok(())
        } else {
            write!(f, " ({source})")
        }
    }
}

/// One mistake: what is wrong, where it was written and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What it is about: one place, or all those that contradict each other.
    pub places: Vec<Place>,
    /// What is wrong. Never holds a secret.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        write!(
            f,
            "{}: {}; {}",
            places.join(" and "),
            self.problem,
            self.remedy
        )
    }
}

/// Everything that is wrong with a configuration; at least one mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl ConfigErrors {
    /// The mistakes, in the order of the layers, those of the checked whole last.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// What is odd besides; a misspelt variable here often explains a mistake.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl fmt::Display for ConfigErrors {
    /// A numbered list of the mistakes, the warnings behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => write!(f, "the configuration has a mistake:")?,
            n => write!(f, "the configuration has {n} mistakes:")?,
        }
        for (index, mistake) in self.mistakes.iter().enumerate() {
            write!(f, "\n{:3}. {mistake}", index + 1)?;
        }
        for warning in &self.warnings {
            write!(f, "\n  also: {warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Something odd that is no reason to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A `NOTICE_*` variable that is no setting of this release.
    UnknownVariable {
        /// Its name.
        name: String,
        /// The setting's variable it may have been meant for.
        meant: Option<String>,
    },
    /// Variables that Kubernetes makes for a Service whose name begins with "notice": harmless,
    /// and no business of the server.
    ServiceLinks {
        /// Their names, in alphabetical order.
        names: Vec<String>,
    },
    /// A file with secrets that every user of the machine can read.
    ReadableByAll {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An API key whose secret can be guessed.
    ShortSecret {
        /// The place of the key in its list, from 1.
        number: usize,
    },
    /// A trusted proxy network that is the whole internet.
    EveryoneTrusted {
        /// Where it was given.
        source: Source,
    },
    /// MongoDB is shared, but nothing wakes the node that a notice is for.
    PollingOnly {
        /// How long it takes to be noticed, at most.
        pause: Duration,
    },
    /// What JWTs must have is given, but no key: none is taken.
    JwtWithoutKey,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable { name, meant } => {
                write!(
                    f,
                    "the variable {name} is no setting of this release and has no effect"
                )?;
                match meant {
                    Some(meant) => write!(f, "; did you mean {meant}?"),
                    None => Ok(()),
                }
            }
            Self::ServiceLinks { names } => write!(
                f,
                "ignored what Kubernetes made for a Service: {}; enableServiceLinks: false in the \
                 pod leaves it out",
                names.join(", "),
            ),
            Self::ReadableByAll { path, mode } => write!(
                f,
                "{} holds secrets, but every user of this machine can read it (mode {mode:04o}); \
                 take that right away, for example chmod 640 (in Kubernetes: defaultMode: 0440)",
                path.display(),
            ),
            Self::ShortSecret { number } => write!(
                f,
                "API key {number} has a secret of less than 16 characters, which can be guessed; make \
                 one with: openssl rand -hex 24",
            ),
            Self::EveryoneTrusted { source } => write!(
                f,
                "trusted_proxies ({source}) holds every address, so each client can claim any \
                 address as its own; name the networks of your proxies",
            ),
            Self::PollingOnly { pause } => write!(
                f,
                "MongoDB is set and Redis is not: a notice staged on another node is found by \
                 polling, {} ms later at worst, and every node asks for all its accounts; set \
                 NOTICE_REDIS_URI for wake-ups",
                pause.as_millis(),
            ),
            Self::JwtWithoutKey => write!(
                f,
                "[jwt] has an issuer, an audience or algorithms, but no key: no JWT is taken; give \
                 jwt.key, jwt.key_file, jwt.jwks_file or jwt.jwks_url",
            ),
        }
    }
}

/// The mistakes and warnings found so far.
#[derive(Default)]
pub(super) struct Findings {
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    /// A file could not be read as a whole: what it would have said is unknown.
    incomplete: bool,
}

impl Findings {
    pub(super) fn mistake(
        &mut self,
        subject: impl Into<String>,
        source: Source,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.contradiction(
            vec![Place {
                subject: subject.into(),
                source,
            }],
            problem,
            remedy,
        );
    }

    pub(super) fn contradiction(
        &mut self,
        places: Vec<Place>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.mistakes.push(Mistake {
            places,
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// From here on, do not look for contradictions: half of the settings may be missing.
    pub(super) fn mark_incomplete(&mut self) {
        self.incomplete = true;
    }

    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    pub(super) fn finish(self, config: Config, settings: Settings) -> Result<Loaded, ConfigErrors> {
        if self.mistakes.is_empty() {
            Ok(Loaded {
                config,
                warnings: self.warnings,
                sources: Sources::new(settings),
            })
        } else {
            Err(ConfigErrors {
                mistakes: self.mistakes,
                warnings: self.warnings,
            })
        }
    }
}
