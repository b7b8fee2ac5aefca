//! Values before they have a meaning: the four kinds that a setting can have, and how a TOML value
//! or a word of the environment becomes one. The kind is that of the setting's default.

use toml::de::{DeInteger, DeValue};

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, or one of a choice; empty where "none" has a meaning.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// true or false.
    Switch(bool),
    /// Several texts.
    List(Vec<String>),
}

/// Why something is not a value: the problem and what to write instead.
pub(super) type Unfit = (String, String);

impl Value {
    /// Takes a TOML value, whatever its kind is.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Result<Self, Unfit> {
        match value {
            DeValue::String(text) => Ok(Self::Text(text.to_string())),
            DeValue::Integer(number) => integer(number).map(Self::Integer),
            DeValue::Boolean(on) => Ok(Self::Switch(*on)),
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    other => Err((
                        format!("the list holds {}", with_article(other.type_str())),
                        "write each item in quotes".to_owned(),
                    )),
                })
                .collect::<Result<_, _>>()
                .map(Self::List),
            other => Err((
                format!(
                    "{} is no value of a setting",
                    with_article(other.type_str())
                ),
                "see the manual, notice-server.toml".to_owned(),
            )),
        }
    }

    /// Reads a word of the environment or the command line as a value of this one's kind.
    pub(super) fn read_like_this(&self, word: &str) -> Result<Self, Unfit> {
        match self {
            Self::Text(_) => Ok(Self::Text(word.to_owned())),
            Self::Integer(_) => word.trim().parse().map(Self::Integer).map_err(|_| {
                (
                    format!("{} is not a whole number", shown(word)),
                    self.wanted(),
                )
            }),
            Self::Switch(_) => word.trim().parse().map(Self::Switch).map_err(|_| {
                (
                    format!("{} is neither true nor false", shown(word)),
                    self.wanted(),
                )
            }),
            Self::List(_) => Ok(Self::List(items(word).map(str::to_owned).collect())),
        }
    }

    /// The text of a text; empty for the other kinds.
    pub(super) fn as_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// Refuses a value of another kind than this one's.
    pub(super) fn same_kind(&self, other: Self) -> Result<Self, Unfit> {
        if std::mem::discriminant(self) == std::mem::discriminant(&other) {
            Ok(other)
        } else {
            Err((format!("this is {}", other.kind()), self.wanted()))
        }
    }

    /// What to say of something that is no value of this kind, without showing it.
    pub(super) fn unlike(&self) -> Unfit {
        let problem = match self {
            Self::Text(_) => "this is not a text",
            Self::Integer(_) => "this is not a whole number",
            Self::Switch(_) => "this is neither true nor false",
            Self::List(_) => "this is not a list of texts",
        };
        (problem.to_owned(), self.wanted())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
        }
    }

    /// What to write for a value of this kind.
    fn wanted(&self) -> String {
        match self {
            Self::Text(_) => "write a text, in quotes if in a file",
            Self::Integer(_) => "write a whole number in digits, without quotes or a unit",
            Self::Switch(_) => "write true or false, without quotes",
            Self::List(_) => "write a list of texts: [\"a\", \"b\"] in a file",
        }
        .to_owned()
    }
}

fn integer(number: &DeInteger<'_>) -> Result<i64, Unfit> {
    i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
        (
            format!("{} is too large a number", shown(&number.to_string())),
            "write a smaller one".to_owned(),
        )
    })
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

/// The items of a list written with commas or one a line; empty ones do not count. The lines of a
/// PEM block belong together.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let by_line = !text.contains("-----BEGIN");
    text.split(move |c| c == ',' || by_line && c == '\n')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// A piece of input made fit for a message: in quotes, control characters escaped, cut.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let cut: String = text.chars().take(MOST).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("\"{}{more}\"", cut.escape_debug())
}

/// A name or path made fit for one line of a message or a comment.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}
