//! The configuration in force as TOML that a person can read, and a file can hold. Pure.

use super::layers::{Setting, Sources};
use super::value::{Value, one_line};

/// Values longer than this do not push the sources of the others to the right.
const MOST_ALIGNED: usize = 48;

/// All settings by section, the source of each behind it, secrets hidden.
pub(super) fn effective(sources: &Sources) -> String {
    let lines: Vec<(&Setting, String)> = sources
        .settings()
        .iter()
        .map(|setting| (setting, line(setting)))
        .collect();
    let width = lines
        .iter()
        .map(|(_, line)| line.chars().count())
        .filter(|w| *w <= MOST_ALIGNED);
    let width = width.max().unwrap_or(0);
    let mut text =
        "# The configuration in force. Behind each setting: where it comes from.\n\n".to_owned();
    let mut section = "";
    for (setting, line) in &lines {
        let of = section_of(setting);
        if of != section {
            text.push_str(&format!("\n[{of}]\n"));
            section = of;
        }
        text.push_str(&format!(
            "{line:width$}  # {}\n",
            one_line(&setting.source.to_string())
        ));
    }
    text
}

fn section_of(setting: &Setting) -> &str {
    setting
        .path
        .split_once('.')
        .map_or("", |(section, _)| section)
}

fn line(setting: &Setting) -> String {
    let key = setting
        .path
        .split_once('.')
        .map_or(setting.path.as_str(), |(_, key)| key);
    let value = match &setting.value {
        Value::Text(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Switch(on) => on.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            format!("[{}]", items.join(", "))
        }
    };
    format!("{key} = {value}")
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
