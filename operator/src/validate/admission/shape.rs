//! A value against a structural schema: types, bounds, patterns, and fields that are not there.

use regex::Regex;
use serde_json::{Map, Value};

use crate::validate::Finding;

type Node = Map<String, Value>;

/// What an API server keeps at the root whatever the schema says.
const ENVELOPE: [&str; 3] = ["apiVersion", "kind", "metadata"];

pub(super) fn check(schema: &Value, object: &Value) -> Vec<Finding> {
    let mut walk = Walk::default();
    if let (Some(schema), Value::Object(fields)) = (schema.as_object(), object) {
        let known = fields
            .iter()
            .filter(|(key, _)| !ENVELOPE.contains(&key.as_str()));
        let known: Node = known
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        walk.object(schema, &known, "");
    } else {
        walk.say(
            "",
            "this is no object",
            "write apiVersion, kind, metadata and spec",
        );
    }
    walk.findings
}

#[derive(Default)]
struct Walk {
    findings: Vec<Finding>,
}

impl Walk {
    fn say(&mut self, path: &str, what: impl Into<String>, fix: impl Into<String>) {
        self.findings.push(Finding::new("Refused", path, what, fix));
    }

    fn value(&mut self, schema: &Node, value: &Value, path: &str) {
        if value.is_null() {
            return; // An API server drops it.
        }
        if let Some(wanted) = wrong_type(schema, value) {
            let found = kind(value);
            return self.say(path, format!("this is {found}"), format!("write {wanted}"));
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => self.list(schema, items, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64(), path),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn object(&mut self, schema: &Node, fields: &Node, path: &str) {
        self.length(schema, "Properties", fields.len(), path);
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema
            .get("additionalProperties")
            .and_then(Value::as_object);
        for (key, value) in fields {
            let below = join(path, key);
            match properties
                .and_then(|known| known.get(key))
                .and_then(Value::as_object)
            {
                Some(schema) => self.value(schema, value, &below),
                None => match others {
                    Some(schema) => self.value(schema, value, &below),
                    None if is_open(schema) => {}
                    None => self.unknown(properties, key, &below),
                },
            }
        }
        for missing in required(schema).filter(|key| fields.get(*key).is_none_or(Value::is_null)) {
            self.say(&join(path, missing), "it is missing", "set it");
        }
    }

    fn unknown(&mut self, known: Option<&Node>, key: &str, path: &str) {
        let known: Vec<&str> = known
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        let near = known.iter().find(|name| name.eq_ignore_ascii_case(key));
        let near = near.or_else(|| {
            let closest = known.iter().min_by_key(|name| distance(name, key));
            closest.filter(|name| distance(name, key) <= 2)
        });
        let fix = match near {
            Some(name) => format!("did you mean {name}?"),
            None if known.is_empty() => "take it out".to_owned(),
            None => format!("take it out; fields here are {}", known.join(", ")),
        };
        self.say(path, "there is no such field", fix);
    }

    fn list(&mut self, schema: &Node, items: &[Value], path: &str) {
        self.length(schema, "Items", items.len(), path);
        let Some(schema) = schema.get("items").and_then(Value::as_object) else {
            return;
        };
        for (index, item) in items.iter().enumerate() {
            self.value(schema, item, &format!("{path}[{index}]"));
        }
    }

    fn text(&mut self, schema: &Node, text: &str, path: &str) {
        self.length(schema, "Length", text.chars().count(), path);
        if let Some(choices) = schema.get("enum").and_then(Value::as_array)
            && !choices.iter().any(|choice| choice == text)
        {
            let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            self.say(
                path,
                format!("{text:?} is no choice"),
                format!("write one of {}", choices.join(", ")),
            );
        }
        let pattern = schema.get("pattern").and_then(Value::as_str);
        if let Some(pattern) = pattern.and_then(|pattern| Regex::new(pattern).ok())
            && !pattern.is_match(text)
        {
            self.say(
                path,
                format!("{text:?} has the wrong form"),
                format!("it must match {pattern}"),
            );
        }
    }

    fn number(&mut self, schema: &Node, number: Option<f64>, path: &str) {
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let number = number.unwrap_or_default();
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.say(path, "it is too small", format!("write {least} or more"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.say(path, "it is too large", format!("write {most} or less"));
        }
    }

    fn length(&mut self, schema: &Node, of: &str, length: usize, path: &str) {
        let bound = |prefix: &str| schema.get(&format!("{prefix}{of}")).and_then(Value::as_u64);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if let Some(least) = bound("min").filter(|least| length < *least) {
            self.say(
                path,
                "it is too short",
                format!("make it {least} or longer"),
            );
        }
        if let Some(most) = bound("max").filter(|most| length > *most) {
            self.say(path, "it is too long", format!("make it {most} or shorter"));
        }
    }
}

/// What should stand here instead, if the type is wrong.
fn wrong_type(schema: &Node, value: &Value) -> Option<String> {
    if flag(schema, "x-kubernetes-int-or-string") {
        let fits = value.is_string() || value.is_number();
        return (!fits).then(|| "a whole number or a text".to_owned());
    }
    let wanted = schema.get("type").and_then(Value::as_str)?;
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => value.is_number(),
    };
    let words = match wanted {
        "object" => "fields",
        "array" => "a list",
        "string" => "a text (in quotes, if it looks like a number)",
        "boolean" => "true or false",
        "integer" => "a whole number",
        other => other,
    };
    (!fits).then(|| words.to_owned())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a set of fields",
    }
}

fn is_open(schema: &Node) -> bool {
    flag(schema, "x-kubernetes-preserve-unknown-fields") || flag(schema, "additionalProperties")
}

fn flag(schema: &Node, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

fn required(schema: &Node) -> impl Iterator<Item = &str> {
    let required = schema.get("required").and_then(Value::as_array);
    required.into_iter().flatten().filter_map(Value::as_str)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// How many letters must change to get from one to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, other) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let changed = diagonal + usize::from(letter != *other);
            diagonal = above;
            let best = changed.min(above + 1).min(left + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            left = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_distance_of_words_is_the_number_of_changes() {
        for (a, b, changes) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("same", "same", 0),
            ("path", "pth", 1),
        ] {
            assert_eq!(distance(a, b), changes, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn distance_is_the_same_both_ways(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
        }
    }
}
