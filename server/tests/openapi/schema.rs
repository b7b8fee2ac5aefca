//! Just as much of JSON Schema as the contract uses. A keyword that is not known here is a failure, not a pass.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use notice_server::domain::NoticeId;
use serde_json::Value;

type Check = fn(&str) -> bool;

/// The patterns that the document may use, each with what stands for it here.
const PATTERNS: [(&str, Check); 2] = [
    ("^([0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9a-f]{24})$", |text| {
        // In the writing that the server uses.
        text.parse::<NoticeId>()
            .is_ok_and(|id| id.to_string() == text)
    }),
    ("^[A-Za-z0-9+/]{22}==$", |text| {
        STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 16)
    }),
];

/// Checks values against schemas of one document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schemas<'a>(pub(crate) &'a Value);

impl<'a> Schemas<'a> {
    /// What a `$ref` stands for; any other value is what it is.
    pub(crate) fn resolve(self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else {
            return value;
        };
        let pointer = reference
            .strip_prefix('#')
            .expect("a reference within the document");
        let found = self.0.pointer(pointer);
        found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// The schema of this name.
    pub(crate) fn named(self, name: &str) -> &'a Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "no schema {name}");
        schema
    }

    /// Fails unless `value` is as `schema` says.
    #[track_caller]
    pub(crate) fn check(self, what: &str, schema: &Value, value: &Value) {
        let faults = self.faults(schema, value);
        assert!(
            faults.is_empty(),
            "{what}: {value} is not as documented: {faults:#?}"
        );
    }

    /// How `value` differs from what `schema` says.
    pub(crate) fn faults(self, schema: &Value, value: &Value) -> Vec<String> {
        let members = schema.as_object().expect("a schema is an object");
        members
            .iter()
            .flat_map(|(keyword, rule)| self.faults_by(keyword, rule, schema, value))
            .collect()
    }

    fn fits(self, schema: &Value, value: &Value) -> bool {
        self.faults(schema, value).is_empty()
    }

    fn faults_by(self, keyword: &str, rule: &Value, schema: &Value, value: &Value) -> Vec<String> {
        let number = |value: &Value| value.as_f64();
        let length = value.as_str().map(|text| text.chars().count() as u64);
        let all = || rule.as_array().expect("a list of schemas").iter();
        let right = match keyword {
            "$ref" => {
                let reference = self.resolve(schema);
                return self.faults(reference, value);
            }
            "allOf" => {
                return all()
                    .flat_map(|schema| self.faults(schema, value))
                    .collect();
            }
            "properties" => return self.faults_of_members(rule, value),
            "items" => return self.faults_of_items(rule, value),
            "oneOf" => all().filter(|schema| self.fits(schema, value)).count() == 1,
            "anyOf" => all().any(|schema| self.fits(schema, value)),
            "not" => !self.fits(rule, value),
            "type" => has_type(rule, value),
            "required" => value.as_object().is_none_or(|members| {
                all().all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "additionalProperties" => value.as_object().is_none_or(|members| {
                assert_eq!(*rule, false, "only false is known");
                members
                    .keys()
                    .all(|name| schema["properties"].get(name).is_some())
            }),
            "enum" => all().any(|one| one == value),
            "const" => rule == value,
            "minimum" => number(value).is_none_or(|value| value >= number(rule).unwrap()),
            "maximum" => number(value).is_none_or(|value| value <= number(rule).unwrap()),
            "minLength" => length.is_none_or(|length| length >= rule.as_u64().unwrap()),
            "maxLength" => length.is_none_or(|length| length <= rule.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| {
                let known = PATTERNS.iter().find(|(pattern, _)| rule == pattern);
                known
                    .unwrap_or_else(|| panic!("the pattern {rule} is not known here"))
                    .1(text)
            }),
            "description" | "examples" | "example" | "discriminator" | "title" => true,
            other => panic!("the keyword {other} is not known here: {schema}"),
        };
        if right {
            Vec::new()
        } else {
            vec![format!("{keyword} {rule} does not hold for {value}")]
        }
    }

    fn faults_of_members(self, rules: &Value, value: &Value) -> Vec<String> {
        let Some(members) = value.as_object() else {
            return Vec::new();
        };
        let ruled = members
            .iter()
            .filter_map(|(name, value)| Some((rules.get(name)?, value)));
        ruled
            .flat_map(|(schema, value)| self.faults(schema, value))
            .collect()
    }

    fn faults_of_items(self, schema: &Value, value: &Value) -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.flat_map(|item| self.faults(schema, item)).collect()
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    };
    match rule {
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    }
}
