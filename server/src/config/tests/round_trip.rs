//! What is printed can be read back, whatever is in it.

use proptest::prelude::*;

use super::manual::remark;
use super::*;
use crate::config::MANUAL;
use crate::config::mistakes::Findings;
use crate::config::schema;
use crate::config::value::Value;

type Flags = Vec<(String, String)>;

/// Words for some of the number settings, each in its range.
fn numbers() -> impl Strategy<Value = Flags> {
    let settings = schema::from_manual(MANUAL, &mut Findings::default());
    let one = settings
        .iter()
        .filter(|setting| matches!(setting.value, Value::Integer(_)))
        .map(|setting| {
            let (least, most) = remark(&setting.path).1.expect("a range");
            (
                Just(setting.path.clone()),
                (least..=most).prop_map(|n| n.to_string()),
            )
        })
        .collect::<Vec<_>>();
    let count = one.len();
    (
        one,
        proptest::collection::vec(proptest::bool::weighted(0.2), count),
    )
        .prop_map(|(all, chosen)| {
            all.into_iter()
                .zip(chosen)
                .filter(|c| c.1)
                .map(|c| c.0)
                .collect()
        })
}

/// A word for a setting, or none.
fn maybe(path: &'static str, words: impl Strategy<Value = String>) -> impl Strategy<Value = Flags> {
    proptest::option::of(words).prop_map(|word| {
        word.map(|word| (path.to_owned(), word))
            .into_iter()
            .collect()
    })
}

fn words() -> impl Strategy<Value = Flags> {
    let first = (
        maybe(
            "listen",
            "127\\.0\\.[0-9]\\.1:[1-7][0-9]{3}|localhost:0|\\[::1\\]:[0-9]{4}",
        ),
        maybe("admin_listen", "0\\.0\\.0\\.0:9[0-9]{3}|\\[::\\]:0"),
        maybe("base_path", "(/[a-zA-Z0-9_~-]{1,8}){0,4}/?"),
        maybe("node_name", "[A-Za-z0-9._-]{0,60}"),
        maybe("data_dir", "[^\\p{Cc}]{1,60}"),
        maybe(
            "trusted_proxies",
            "(10\\.[0-9]\\.0\\.0/16,|fd0[0-9]::/16,|192\\.0\\.2\\.[0-9],){0,4}",
        ),
    );
    let second = (
        maybe(
            "auth.allowed_origins",
            "(https?://[a-z]{1,9}\\.example(:[1-9][0-9]{1,3})?,){0,4}",
        ),
        maybe(
            "auth.drain_keys",
            "((AQ|BQ)EBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,){0,3}",
        ),
        maybe("sessions.one_per_account", "true|false"),
        maybe("log.level", "error|warn|info|debug|trace"),
        maybe("log.format", "text|json"),
    );
    let third = (
        maybe("mongodb.database", "[A-Za-z0-9_-]{1,63}"),
        maybe("mongodb.write_concern", "majority|[1-9]|50"),
        maybe("redis.key_prefix", "[^\\p{Cc}]{0,40}"),
        maybe("redis.namespace", "[a-z0-9:._-]{0,20}"),
        maybe("jwt.issuer", "[^\\p{Cc}]{0,40}"),
        maybe("jwt.audience", "([a-z0-9:/.-]{1,9},){0,3}"),
        maybe("jwt.algorithms", "(HS256|RS256|ES256)?(,RS256)?"),
        maybe("jwt.account_claim", "[^\\p{Cc}]{1,40}"),
        maybe(
            "jwt.jwks_url",
            "(https://[a-z]{1,9}(:[1-9]{1,4})?(/[a-z]{0,9}){0,3})?",
        ),
    );
    let third = third.prop_map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i].concat());
    let first = first.prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat());
    let second = second.prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat());
    (first, second, third).prop_map(|(a, b, c)| [a, b, c].concat())
}

/// The settings that name a file, each with what may be in it.
const FILES: [(&str, &str); 6] = [
    ("mongodb.uri_file", "mongodb://u:p@db/?replicaSet=rs0\n"),
    (
        "redis.uri_file",
        "rediss+sentinel://u:p@a,b:7/m/1?sentinel_password=x\n",
    ),
    ("redis.ca_file", "-----BEGIN CERTIFICATE-----\n"),
    ("redis.client_cert_file", "-----BEGIN CERTIFICATE-----\n"),
    ("redis.client_key_file", "-----BEGIN PRIVATE KEY-----\n"),
    ("jwt.jwks_file", "{\"keys\":[]}"),
];

/// Names some of them.
fn name_files(folder: &Folder, chosen: [bool; FILES.len()]) -> Flags {
    let chosen = FILES.iter().zip(chosen).filter(|(_, chosen)| *chosen);
    let flags = chosen.map(|((path, text), _)| {
        let file = folder.file(path, text);
        ((*path).to_owned(), file.to_str().expect("UTF-8").to_owned())
    });
    flags.collect()
}

proptest! {
    #[test]
    fn any_configuration_printed_and_read_back_is_the_same(
        numbers in numbers(),
        words in words(),
        files in any::<[bool; FILES.len()]>(),
    ) {
        let folder = Folder::new();
        let set = [numbers, words, name_files(&folder, files)].concat();
        let env = || owned(&[("HOSTNAME", "host")]);
        let loaded = match load(Overrides { config: None, set: set.clone() }, env()) {
            Ok(loaded) => loaded,
            // Random settings may contradict each other, but each alone is valid.
            Err(errors) => {
                let together = errors.mistakes().iter().all(|m| m.places.len() > 1);
                prop_assert!(together, "{set:?} {errors}");
                return Ok(());
            }
        };
        let printed = loaded.effective_toml();
        let again = load_file(&folder.file("printed.toml", &printed), &[]);
        let again = again.map_err(|errors| TestCaseError::fail(format!("{printed}\n{errors}")))?;
        prop_assert_eq!(&again.config, &loaded.config, "{}", printed);
    }

    #[test]
    fn no_text_makes_it_panic(file in "\\PC{0,200}", path in "\\PC{0,40}", word in "\\PC{0,40}") {
        let folder = Folder::new();
        let config = Some(folder.file("any.toml", &file));
        let unknown = format!("NOTICE_{path}");
        let env = owned(&[(&unknown, &word), ("NOTICE_LISTEN", &word)]);
        let result = load(Overrides { config, set: vec![(path, word)] }, env);
        let text = result.expect_err("there is no such setting").to_string();
        prop_assert!(!text.is_empty());
    }
}

#[test]
fn what_is_printed_is_good_to_read() {
    let set = [
        ("node_name", "n1"),
        ("trusted_proxies", "10.0.0.0/8"),
        ("log.level", "warn"),
    ];
    let text = load_with(&[("NOTICE_LIMITS_SESSIONS", "5")], &set)
        .expect("valid")
        .effective_toml();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "# The configuration in force. Behind each setting: where it comes from."
    );
    let line = |setting: &str, source: &str| format!("{setting:32}  # {source}");
    assert_eq!(lines[2], line("listen = \"127.0.0.1:8080\"", "default"));
    assert_eq!(
        lines[7],
        line("trusted_proxies = [\"10.0.0.0/8\"]", "command line")
    );
    assert_eq!(lines[8..10], ["", "[auth]"]);
    let expected = line("sessions = 5", "NOTICE_LIMITS_SESSIONS");
    assert!(lines.contains(&expected.as_str()), "{text}");
}
