//! The configuration file as a layer: its TOML laid over the defaults, each mistake with its line.
//! Pure; the file has been read already.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::layers::{Setting, Settings, Source};
use super::mistakes::Findings;
use super::suggest::nearest;
use super::value::{Unfit, Value, shown};

/// A configuration file that has been read.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl ConfigFile {
    /// The source of what stands at a byte of the text.
    fn at(&self, position: usize) -> Source {
        let before = self.text.as_bytes().iter().take(position);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Source::File {
            path: self.path.clone(),
            line,
        }
    }
}

/// Lays a file over the layers so far.
pub(super) fn apply(settings: &mut Settings, file: &ConfigFile, findings: &mut Findings) {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    if errors.is_empty() {
        lay(settings, file, table.get_ref(), findings);
        return;
    }
    // What the parser made of a broken text is a guess: its settings are not looked at.
    findings.mark_incomplete();
    for error in errors.iter().take(MOST_SYNTAX_ERRORS) {
        // Only the parser's own words: its longer form quotes the line, which may hold a key.
        findings.mistake(
            "the configuration file",
            file.at(error.span().map_or(0, |span| span.start)),
            format!("this is not TOML: {}", error.message().replace('\n', ", ")),
            "correct it; the settings in this file have not been checked yet",
        );
    }
}

/// One slip can make the parser stumble many times.
const MOST_SYNTAX_ERRORS: usize = 5;

/// A key of the file with all that is to be known about it.
struct Entry<'a> {
    position: usize,
    path: String,
    value: &'a DeValue<'a>,
}

fn lay(settings: &mut Settings, file: &ConfigFile, table: &DeTable<'_>, findings: &mut Findings) {
    let mut entries = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(section) if is_section(settings, name) => {
                entries.extend(section.iter().map(|(key, value)| Entry {
                    position: key.span().start,
                    path: format!("{name}.{}", key.get_ref()),
                    value: value.get_ref(),
                }));
            }
            value => entries.push(Entry {
                position: key.span().start,
                path: name.to_owned(),
                value,
            }),
        }
    }
    // The parser sorts by name; people read from the top.
    entries.sort_by_key(|entry| entry.position);
    for entry in entries {
        lay_entry(settings, file.at(entry.position), &entry, findings);
    }
}

fn is_section(settings: &Settings, name: &str) -> bool {
    sections(settings).any(|section| section == name)
}

fn sections(settings: &Settings) -> impl Iterator<Item = &str> {
    settings
        .iter()
        .filter_map(|setting| Some(setting.path.split_once('.')?.0))
}

fn lay_entry(settings: &mut Settings, source: Source, entry: &Entry<'_>, findings: &mut Findings) {
    if let Some(setting) = settings.get_mut(&entry.path) {
        let value = value_for(setting, entry.value);
        setting.put(value, source, findings);
    } else {
        let (problem, remedy) = unknown(settings, entry);
        findings.mistake(name_of(&entry.path), source, problem, remedy);
    }
}

/// The value for a setting. What is wrong with a secret one is said without showing it.
fn value_for(setting: &Setting, value: &DeValue<'_>) -> Result<Value, Unfit> {
    Value::from_toml(value).map_err(|unfit| {
        if setting.secret {
            setting.value.unlike()
        } else {
            unfit
        }
    })
}

/// What is wrong with a path that is no setting.
fn unknown(settings: &Settings, entry: &Entry<'_>) -> Unfit {
    let path = entry.path.as_str();
    if is_section(settings, path) {
        let problem = "this is a section, not a setting".to_owned();
        return (
            problem,
            format!("write [{path}] on a line and its settings below"),
        );
    }
    if !entry.value.is_table() {
        return (
            "there is no such setting".to_owned(),
            settings.did_you_mean(path),
        );
    }
    let remedy = match nearest(path, sections(settings)) {
        Some(meant) => format!("did you mean [{meant}]?"),
        None => "take it out; the manual is notice-server.toml".to_owned(),
    };
    ("there is no such section".to_owned(), remedy)
}

/// A path as it stands, or in quotes if it is no plain name.
fn name_of(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if path.len() <= 100 && path.chars().all(plain) {
        path.to_owned()
    } else {
        shown(path)
    }
}
