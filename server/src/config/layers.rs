//! The settings with the value and the source that the layers gave them so far, and the two layers
//! that are made of words: the environment and the command line. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::keys::{ApiKey, HIDDEN};
use super::mistakes::{Findings, Warning};
use super::suggest::nearest;
use super::value::{Unfit, Value, one_line, shown};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The manual's default.
    Default,
    /// The host's name, which is the node's name if no other is given.
    HostName,
    /// A line of the configuration file, the first being 1.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// A flag.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::HostName => write!(f, "host name"),
            Self::File { path, line } => {
                write!(f, "{}:{line}", one_line(&path.to_string_lossy()))
            }
            Self::Environment(name) => write!(f, "{}", one_line(name)),
            Self::CommandLine => write!(f, "command line"),
        }
    }
}

/// The settings in force with their sources, secrets left out.
#[derive(Clone, Debug)]
pub struct Sources(Settings);

impl Sources {
    pub(super) fn new(mut settings: Settings) -> Self {
        for setting in &mut settings.0 {
            setting.hide();
        }
        Self(settings)
    }

    /// Where the setting of this path (`limits.sessions`) comes from; none if there is no such
    /// setting.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<&Source> {
        self.0.get(path).map(|setting| &setting.source)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0
    }
}

/// One setting.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) path: String,
    pub(super) variable: String,
    pub(super) secret: bool,
    /// Always of the kind of the default.
    pub(super) value: Value,
    pub(super) source: Source,
    /// A mistake about it has been found: no contradiction with it is worth telling.
    pub(super) rejected: bool,
}

impl Setting {
    /// Lays a value over the one so far, or notes why it is none.
    pub(super) fn put(
        &mut self,
        value: Result<Value, Unfit>,
        source: Source,
        findings: &mut Findings,
    ) {
        match value.and_then(|value| self.value.same_kind(value)) {
            Ok(value) => {
                self.value = value;
                self.source = source;
            }
            Err((problem, remedy)) => self.reject(source, problem, remedy, findings),
        }
    }

    /// Takes a secret value out; the names in a list of keys stay, and that there is none.
    fn hide(&mut self) {
        match &mut self.value {
            Value::List(items) if self.secret => {
                for item in items {
                    *item = ApiKey::hidden(item);
                }
            }
            Value::Text(text) if self.secret && !text.is_empty() => HIDDEN.clone_into(text),
            _ => {}
        }
    }

    /// Notes a mistake about this setting.
    pub(super) fn reject(
        &mut self,
        source: Source,
        problem: impl Into<String>,
        remedy: impl Into<String>,
        findings: &mut Findings,
    ) {
        self.rejected = true;
        findings.mistake(self.path.clone(), source, problem, remedy);
    }
}

/// All settings, in the manual's order.
#[derive(Clone, Debug)]
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    pub(super) fn new(settings: Vec<Setting>) -> Self {
        Self(settings)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.path == path)
    }

    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut Setting> {
        self.0.iter_mut().find(|setting| setting.path == path)
    }

    fn of_variable(&mut self, name: &str) -> Option<&mut Setting> {
        self.0.iter_mut().find(|setting| setting.variable == name)
    }

    /// What to do about a path that is none.
    pub(super) fn did_you_mean(&self, path: &str) -> String {
        match nearest(path, self.0.iter().map(|setting| setting.path.as_str())) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "take it out; the manual is notice-server.toml".to_owned(),
        }
    }
}

/// The `NOTICE_*` variables; no value where it is not UTF-8.
pub(super) struct Variables {
    ours: BTreeMap<String, Option<String>>,
    /// `HOSTNAME`, as shells and containers set it.
    pub(super) host_name: Option<String>,
}

impl Variables {
    pub(super) fn collect<E, K, V>(env: E) -> Self
    where
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut variables = Self {
            ours: BTreeMap::new(),
            host_name: None,
        };
        for (name, value) in env {
            let name = name.into().to_string_lossy().into_owned();
            let value = value.into().into_string().ok();
            if name.starts_with("NOTICE_") {
                variables.ours.insert(name, value);
            } else if name == "HOSTNAME" {
                variables.host_name = value;
            }
        }
        variables
    }

    /// A variable that is set; `Some(None)` where its value is not UTF-8.
    pub(super) fn get(&self, name: &str) -> Option<Option<&str>> {
        self.ours.get(name).map(Option::as_deref)
    }
}

/// Variables that are read, but are no settings.
const OTHERS: [&str; 1] = [CONFIG_VARIABLE];

/// The variable that names the configuration file.
pub(super) const CONFIG_VARIABLE: &str = "NOTICE_CONFIG";

/// Lays the environment over the layers so far.
pub(super) fn apply_environment(
    settings: &mut Settings,
    variables: &Variables,
    findings: &mut Findings,
) {
    let mut links = Vec::new();
    for (name, value) in &variables.ours {
        let source = Source::Environment(name.clone());
        if let Some(setting) = settings.of_variable(name) {
            let value = text_of(value.as_deref()).and_then(|v| setting.value.read_like_this(v));
            setting.put(value, source, findings);
        } else if is_service_link(name, value.as_deref()) {
            links.push(one_line(name));
        } else if !OTHERS.contains(&name.as_str()) {
            findings.warn(unknown_variable(name, settings));
        }
    }
    if !links.is_empty() {
        findings.warn(Warning::ServiceLinks { names: links });
    }
}

/// The value as text, or why it is none.
pub(super) fn text_of(value: Option<&str>) -> Result<&str, Unfit> {
    value.ok_or_else(|| {
        (
            "its value is not UTF-8".to_owned(),
            "write it in UTF-8".to_owned(),
        )
    })
}

fn unknown_variable(name: &str, settings: &Settings) -> Warning {
    let known = settings
        .iter()
        .map(|setting| setting.variable.as_str())
        .chain(OTHERS);
    Warning::UnknownVariable {
        name: one_line(name),
        meant: nearest(name, known).map(str::to_owned),
    }
}

/// Whether Kubernetes made this variable for a Service: `NOTICE_SERVICE_HOST`,
/// `NOTICE_SERVICE_PORT_HTTP`, `NOTICE_PORT=tcp://...`, `NOTICE_PORT_8080_TCP_ADDR`, and the same
/// for a Service called notice-something.
pub(super) fn is_service_link(name: &str, value: Option<&str>) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.is_some_and(|value| value.contains("://")))
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| is_port_of_link(rest))
}

/// The end of such a name: `8080_TCP`, `8080_TCP_ADDR`.
fn is_port_of_link(rest: &str) -> bool {
    let mut parts = rest.split('_');
    parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
        && parts
            .next()
            .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
        && parts
            .next()
            .is_none_or(|what| matches!(what, "PROTO" | "PORT" | "ADDR"))
}

/// Lays the flags over the layers so far.
pub(super) fn apply_command_line(
    settings: &mut Settings,
    flags: &[(String, String)],
    findings: &mut Findings,
) {
    for (path, word) in flags {
        let Some(setting) = settings.get_mut(path) else {
            findings.mistake(
                shown(path),
                Source::CommandLine,
                "there is no such setting",
                settings.did_you_mean(path),
            );
            continue;
        };
        if setting.secret {
            let remedy = format!(
                "give it by {name}, or as a file by {name}_FILE",
                name = setting.variable
            );
            setting.reject(
                Source::CommandLine,
                "a secret on the command line can be read by everybody on this machine",
                remedy,
                findings,
            );
        } else {
            let value = setting.value.read_like_this(word);
            setting.put(value, Source::CommandLine, findings);
        }
    }
}
