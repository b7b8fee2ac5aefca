//! Label selectors as text, as they come in a query: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Pure.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

/// The longest selector that is read.
const LONGEST: usize = 4096;

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SelectorError {
    /// It is too long.
    #[error("a label selector has at most {LONGEST} bytes")]
    TooLong,
    /// A part of it makes no sense.
    #[error(
        "'{0}' is no requirement of a label selector: write key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
    )]
    Requirement(String),
}

/// Reads a selector; an empty text selects everything.
///
/// # Errors
/// [`SelectorError`].
pub(super) fn parse(text: &str) -> Result<Selector, SelectorError> {
    if text.len() > LONGEST {
        return Err(SelectorError::TooLong);
    }
    if text.trim().is_empty() {
        return Ok(Selector::default());
    }
    requirements(text)
        .map(|part| {
            requirement(part.trim())
                .ok_or_else(|| SelectorError::Requirement(part.trim().to_owned()))
        })
        .collect()
}

/// The parts between commas that are in no brackets.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |it| {
        match it {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        it == ',' && !inside
    })
}

fn requirement(part: &str) -> Option<Expression> {
    if let Some(name) = part.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key(name)?));
    }
    for (operator, make) in [
        (
            "!=",
            Expression::NotEqual as fn(String, String) -> Expression,
        ),
        ("==", Expression::Equal),
        ("=", Expression::Equal),
    ] {
        if let Some((name, is)) = part.split_once(operator) {
            return Some(make(key(name)?, value(is)?));
        }
    }
    let Some((name, rest)) = part.split_once(char::is_whitespace) else {
        return Some(Expression::Exists(key(part)?));
    };
    let rest = rest.trim_start();
    let (make, set): (fn(String, BTreeSet<String>) -> Expression, _) =
        match rest.strip_prefix("notin") {
            Some(set) => (Expression::NotIn, set),
            None => (Expression::In, rest.strip_prefix("in")?),
        };
    let set = set.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(make(
        key(name)?,
        set.split(',').map(value).collect::<Option<_>>()?,
    ))
}

fn key(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = |it: char| it.is_ascii_alphanumeric() || "-_./".contains(it);
    (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
}

fn value(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    text.chars().all(fits).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::SelectorExt;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn selects(text: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        parse(text)
            .unwrap()
            .matches(&labels.collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn every_kind_of_requirement_selects_what_kubernetes_says() {
        let pod = [("app.kubernetes.io/name", "notice-server"), ("tier", "a")];
        for text in [
            "",
            " ",
            "tier=a",
            "tier==a",
            "tier != b",
            "other!=b",
            "tier",
            "!other",
            "tier in (a, b)",
            "tier notin (b,c)",
            "app.kubernetes.io/name=notice-server,tier in (a,b),!other",
        ] {
            assert!(selects(text, &pod), "{text}");
        }
        for text in [
            "tier=b",
            "tier!=a",
            "other",
            "!tier",
            "tier in (b)",
            "tier notin (a)",
            "tier=a,other=b",
        ] {
            assert!(!selects(text, &pod), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for text in [
            "=a", "a b", "a in b", "a in (b", "a,,b", "a=b c", "!", "a=(b)", "\u{0}",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse("tier=a,=b").unwrap_err().to_string().contains("'=b'"));
        assert_eq!(parse(&"a".repeat(5000)), Err(SelectorError::TooLong));
    }

    proptest! {
        #[test]
        fn what_the_library_writes_is_read_back(
            keys in prop::collection::vec("[a-z]{1,8}(/[a-z]{1,5})?", 1..5),
            values in prop::collection::btree_set("[a-z0-9.-]{1,6}", 1..4),
            which in 0_usize..6,
        ) {
            let make = |key: &String| match which {
                0 => Expression::In(key.clone(), values.clone()),
                1 => Expression::NotIn(key.clone(), values.clone()),
                2 => Expression::Equal(key.clone(), values.first().unwrap().clone()),
                3 => Expression::NotEqual(key.clone(), values.first().unwrap().clone()),
                4 => Expression::Exists(key.clone()),
                _ => Expression::DoesNotExist(key.clone()),
            };
            let selector: Selector = keys.iter().map(make).collect();
            prop_assert_eq!(parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn no_text_breaks_it(text in ".{0,200}") {
            let _either_way = parse(&text);
        }
    }
}
