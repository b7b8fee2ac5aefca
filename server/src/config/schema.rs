//! What settings there are: read from the manual, so that a setting cannot exist without being
//! documented there with its default.

use toml::de::{DeTable, DeValue};

use super::layers::{Setting, Settings, Source};
use super::mistakes::Findings;
use super::value::Value;

/// The variables whose names do not follow the rule, since others rely on them or they are typed
/// often.
const SHORT_NAMES: [(&str, &str); 3] = [
    ("auth.api_keys", "NOTICE_API_KEYS"),
    ("auth.api_keys_file", "NOTICE_API_KEYS_FILE"),
    ("log.level", "NOTICE_LOG"),
];

/// Settings whose values are secret: never shown, never taken from the command line.
const SECRET: [&str; 4] = ["auth.api_keys", "mongodb.uri", "redis.uri", "jwt.key"];

/// The settings of the manual with their defaults, in its order.
pub(super) fn from_manual(manual: &str, findings: &mut Findings) -> Settings {
    let mut found = Vec::new();
    match DeTable::parse(manual) {
        Ok(table) => collect(table.get_ref(), "", &mut found),
        Err(error) => findings.mistake(
            "notice-server.toml",
            Source::Default,
            format!("the built-in manual is broken: {}", error.message()),
            "report this as a bug",
        ),
    }
    found.sort_by_key(|(position, _)| *position);
    Settings::new(found.into_iter().map(|(_, setting)| setting).collect())
}

fn collect(table: &DeTable<'_>, prefix: &str, found: &mut Vec<(usize, Setting)>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &format!("{path}."), found),
            other => {
                if let Ok(default) = Value::from_toml(other) {
                    found.push((key.span().start, setting(path, default)));
                }
            }
        }
    }
}

fn setting(path: String, default: Value) -> Setting {
    Setting {
        variable: variable(&path),
        secret: SECRET.contains(&path.as_str()),
        path,
        value: default,
        source: Source::Default,
        rejected: false,
    }
}

/// The environment's name of a setting.
fn variable(path: &str) -> String {
    match SHORT_NAMES.iter().find(|(of, _)| *of == path) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("NOTICE_{}", path.replace('.', "_").to_ascii_uppercase()),
    }
}
