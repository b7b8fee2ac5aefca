//! Secrets: how they are given, and that they never show.

use super::*;
use crate::config::{ApiKey, ApiKeys, DrainKey, Secret, Warning};

/// An Ed25519 public key as PEM, and its 32 bytes in base64.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";
const BARE: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
const OTHER: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn api_keys(env: &[(&str, &str)]) -> ApiKeys {
    load_with(env, &[]).expect("valid").config.auth.api_keys
}

fn drain_keys(text: &str) -> Vec<String> {
    let config = load_with(&[("NOTICE_AUTH_DRAIN_KEYS", text)], &[])
        .expect("valid")
        .config;
    config
        .auth
        .drain_keys
        .iter()
        .map(DrainKey::to_string)
        .collect()
}

#[test]
fn a_key_belongs_to_the_producer_in_front_of_it_or_to_the_default() {
    let keys = api_keys(&[(
        "NOTICE_API_KEYS",
        "0123456789abcdef, orders:with:colon:0123456789,",
    )]);
    assert_eq!(keys.producer_of("0123456789abcdef"), Some("default"));
    assert_eq!(keys.producer_of("with:colon:0123456789"), Some("orders"));
    for wrong in [
        "",
        "0123456789abcdeX",
        "0123456789abcde",
        "orders:with:colon:0123456789",
        "ü",
    ] {
        assert_eq!(keys.producer_of(wrong), None, "{wrong}");
    }
    assert_eq!(ApiKeys::default().producer_of(""), None);
}

#[test]
fn one_producer_may_have_two_keys_while_they_rotate() {
    let keys = api_keys(&[(
        "NOTICE_API_KEYS",
        "orders:old-old-old-old-1,orders:new-new-new-new-1",
    )]);
    assert_eq!(keys.producer_of("old-old-old-old-1"), Some("orders"));
    assert_eq!(keys.producer_of("new-new-new-new-1"), Some("orders"));
    assert_eq!(keys.iter().count(), 2);
}

#[test]
fn keys_come_from_a_file_by_line_or_comma() {
    let folder = Folder::new();
    let path = folder.file(
        "keys",
        "a:0123456789abcdef\r\nb:123456789abcdef0,c:23456789abcdef01\n\n",
    );
    let keys = api_keys(&[("NOTICE_API_KEYS_FILE", path.to_str().unwrap())]);
    let producers: Vec<&str> = keys.iter().map(|key| key.producer.as_str()).collect();
    assert_eq!(producers, ["a", "b", "c"]);
}

#[test]
fn a_secret_that_can_be_guessed_works_with_a_warning_that_does_not_show_it() {
    let loaded = load_with(&[("NOTICE_API_KEYS", "0123456789abcdef,short-secret")], &[])
        .expect("a short secret works");
    assert_eq!(loaded.warnings, [Warning::ShortSecret { number: 2 }]);
    assert!(!loaded.warnings[0].to_string().contains("short-secret"));
}

#[test]
fn keys_that_cannot_be_right_are_refused_without_showing_them() {
    for (keys, why) in [
        ("orders:", "the secret has 0 characters"),
        (":0123456789abcdef", "no name"),
        ("two words:0123456789abcdef", "no name"),
        ("orders:0123456789 abcdef", "a space"),
        ("0123456789abcdef\u{e9}", "outside ASCII"),
        (
            "a:0123456789abcdef,b:0123456789abcdef",
            "key 2 has the secret of a key before it",
        ),
        ("orders:<hidden>", "a printed configuration"),
    ] {
        let text = mistake(load_with(&[("NOTICE_API_KEYS", keys)], &[]));
        assert!(
            text.starts_with("auth.api_keys (NOTICE_API_KEYS): key "),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
        assert!(!text.contains("0123456789"), "{text}");
    }
    let long = "x".repeat(513);
    assert!(mistake(load_with(&[("NOTICE_API_KEYS", &long)], &[])).contains("513 characters"));
    let name = format!("{}:{KEY}", "n".repeat(65));
    assert!(mistake(load_with(&[("NOTICE_API_KEYS", &name)], &[])).contains("no name"));
}

#[test]
fn keys_of_the_wrong_kind_in_a_file_are_not_shown() {
    let folder = Folder::new();
    for value in [
        "99999999999999999999999",
        "\"0123456789abcdef\"",
        "[[\"0123456789abcdef\"]]",
    ] {
        let path = folder.file("n.toml", format!("[auth]\napi_keys = {value}\n"));
        let text = mistake(load_file(&path, &[]));
        assert!(
            !text.contains("99999") && !text.contains("012345"),
            "{text}"
        );
    }
}

#[test]
fn keys_and_a_file_of_keys_contradict_each_other() {
    let folder = Folder::new();
    let path = folder.file("keys", KEY);
    let env = [
        ("NOTICE_API_KEYS", KEY),
        ("NOTICE_API_KEYS_FILE", path.to_str().unwrap()),
    ];
    let text = mistake(load_with(&env, &[]));
    assert_eq!(
        text,
        "auth.api_keys (NOTICE_API_KEYS) and auth.api_keys_file (NOTICE_API_KEYS_FILE): both are \
         given; leave one of them empty"
    );
}

#[test]
fn a_secret_on_the_command_line_is_refused_but_its_file_may_be_named() {
    let text = mistake(load_with(&[], &[("auth.api_keys", KEY)]));
    assert!(text.contains("give it by NOTICE_API_KEYS, or as a file by NOTICE_API_KEYS_FILE"));
    assert!(!text.contains(KEY), "{text}");
    let path = Folder::new().file("keys", KEY);
    let text = mistake(load_with(
        &[],
        &[("auth.api_keys_file", path.to_str().unwrap())],
    ));
    assert!(text.contains("No such file"), "its folder is gone: {text}");
}

#[test]
fn a_file_of_secrets_that_cannot_be_used_is_told_by_name() {
    let folder = Folder::new();
    let here = folder.0.path().to_owned();
    for (path, why) in [
        (here.clone(), "is a folder, not a file"),
        (here.join("absent"), "cannot be read: No such file"),
        (folder.file("empty", "\n , \n"), "holds no key"),
        (
            folder.file("latin", b"0123456789abcdef\xe9"),
            "is not UTF-8",
        ),
        (
            folder.file("large", vec![b'a'; 2 << 20]),
            "is longer than 1048576 bytes",
        ),
    ] {
        let path = path.to_str().unwrap();
        for variable in ["NOTICE_API_KEYS_FILE", "NOTICE_AUTH_DRAIN_KEYS_FILE"] {
            let env = [
                ("NOTICE_LISTEN", "0.0.0.0:80"),
                ("NOTICE_API_KEYS_FILE", path),
                (variable, path),
            ];
            let all = mistakes(load_with(&env, &[]));
            let told = |text: &String| {
                text.contains(variable) && text.contains(path) && text.contains(why)
            };
            assert!(all.iter().any(told), "{all:#?}");
            assert!(
                all.iter().all(|text| !text.contains("no API key")),
                "{all:#?}"
            );
        }
    }
}

#[test]
fn a_file_of_secrets_that_all_can_read_is_a_warning() {
    let folder = Folder::new();
    let keys = folder.file("keys", KEY);
    let config = folder.file("n.toml", format!("[auth]\napi_keys = [\"{KEY}\"]\n"));
    let env = [("NOTICE_API_KEYS_FILE", keys.to_str().unwrap())];
    assert!(load_with(&env, &[]).expect("valid").warnings.is_empty());
    assert!(load_file(&config, &[]).expect("valid").warnings.is_empty());

    set_mode(&keys, 0o644);
    set_mode(&config, 0o644);
    let by = |path: &Path| {
        [Warning::ReadableByAll {
            path: path.to_owned(),
            mode: 0o644,
        }]
    };
    assert_eq!(load_with(&env, &[]).expect("valid").warnings, by(&keys));
    assert_eq!(
        load_file(&config, &[]).expect("valid").warnings,
        by(&config)
    );
}

#[test]
fn a_secret_never_shows_itself() {
    let secret = Secret::new(KEY);
    assert_eq!(format!("{secret} {secret:?}"), "<hidden> <hidden>");
    assert_eq!(secret.reveal(), KEY);
    assert!(secret == Secret::new(KEY) && secret != Secret::new("0123456789abcdeX"));

    let loaded = load_with(&[("NOTICE_API_KEYS", &format!("orders:{KEY}"))], &[]).expect("valid");
    assert!(
        loaded
            .effective_toml()
            .contains("api_keys = [\"orders:<hidden>\"]")
    );
    let everything = format!("{loaded:?} {loaded:#?} {}", loaded.effective_toml());
    assert!(!everything.contains(KEY), "{everything}");
}

/// The secret settings that are one text, with their files.
const TEXTS: [(&str, &str, &str); 3] = [
    (
        "mongodb.uri",
        "NOTICE_MONGODB_URI",
        "mongodb://u:0123456789abcdef0123456789abcdef@db",
    ),
    (
        "redis.uri",
        "NOTICE_REDIS_URI",
        "rediss://u:0123456789abcdef0123456789abcdef@db",
    ),
    (
        "jwt.key",
        "NOTICE_JWT_KEY",
        "0123456789abcdef0123456789abcdef",
    ),
];

/// What a JWT must have, so that a key for it may be given.
const JWT: [(&str, &str); 3] = [
    ("NOTICE_JWT_ISSUER", "i"),
    ("NOTICE_JWT_AUDIENCE", "a"),
    ("NOTICE_JWT_ALGORITHMS", "HS256"),
];

#[test]
fn a_secret_text_never_shows_itself_whichever_way_it_came() {
    let folder = Folder::new();
    for (path, variable, text) in TEXTS {
        let (section, key) = path.split_once('.').unwrap();
        let config = folder.file("n.toml", format!("[{section}]\n{key} = \"{text}\"\n"));
        let in_file = folder.file("secret", format!("{text}\r\n"));
        let by_env = [&JWT[..], &[(variable, text)]].concat();
        let file_variable = format!("{variable}_FILE");
        let by_file = [&JWT[..], &[(&file_variable, in_file.to_str().unwrap())]].concat();
        let mut ways = [
            load_with(&by_env, &[]).expect(path),
            load_with(&by_file, &[]).expect(path),
            load_file(&config, &JWT).expect(path),
        ];
        let jwt = ways[1].config.jwt.as_mut();
        // The one thing that is different: it is read again.
        let reread = jwt.and_then(|jwt| jwt.key_file.take());
        assert_eq!(reread.is_some(), path == "jwt.key");
        assert_eq!(ways[0].config, ways[1].config, "{path}");
        assert_eq!(ways[0].config, ways[2].config, "{path}");
        for loaded in &ways {
            let everything = format!("{loaded:?} {loaded:#?} {}", loaded.effective_toml());
            assert!(!everything.contains(KEY), "{everything}");
        }
        let shown = format!("{key} = \"<hidden>\"");
        assert!(ways[0].effective_toml().contains(&shown), "{path}");
        assert!(!ways[1].effective_toml().contains(&shown), "{path}");
    }
}

#[test]
fn a_secret_text_is_refused_from_the_command_line_from_two_places_and_when_hidden() {
    let folder = Folder::new();
    for (path, variable, text) in TEXTS {
        let told = mistake(load_with(&[], &[(path, text)]));
        assert!(
            told.contains(&format!("as a file by {variable}_FILE")),
            "{told}"
        );
        assert!(!told.contains(KEY), "{told}");

        let file_variable = format!("{variable}_FILE");
        let file = folder.file("secret", text);
        let file = file.to_str().unwrap();
        let both = [&JWT[..], &[(variable, text), (&file_variable, file)]].concat();
        assert!(
            mistake(load_with(&both, &[])).contains("both are given"),
            "{path}"
        );

        let hidden = [&JWT[..], &[(variable, "<hidden>")]].concat();
        let told = mistake(load_with(&hidden, &[]));
        assert!(told.contains("a printed configuration"), "{told}");

        let empty = folder.file("empty", " \n");
        let env = [(file_variable.as_str(), empty.to_str().unwrap())];
        assert!(mistake(load_with(&env, &[])).contains("is empty"), "{path}");
        assert!(
            load_with(&[(variable, "")], &[]).is_ok(),
            "empty is not set"
        );

        let (section, key) = path.split_once('.').unwrap();
        let number = folder.file(
            "n.toml",
            format!("[{section}]\n{key} = 99999999999999999999\n"),
        );
        let told = mistake(load_file(&number, &[]));
        assert!(
            told.contains("this is not a text") && !told.contains("999"),
            "{told}"
        );
    }
}

#[test]
fn a_file_with_a_uri_that_all_can_read_is_a_warning() {
    let folder = Folder::new();
    let path = folder.file("uri", "redis://:sesame@db");
    set_mode(&path, 0o644);
    let env = [("NOTICE_REDIS_URI_FILE", path.to_str().unwrap())];
    let warnings = load_with(&env, &[]).expect("valid").warnings;
    assert_eq!(warnings, [Warning::ReadableByAll { path, mode: 0o644 }]);
}

#[test]
fn of_two_keys_with_one_secret_the_first_counts() {
    let key = |producer: &str| ApiKey {
        producer: producer.into(),
        secret: Secret::new(KEY),
    };
    let keys = ApiKeys::new([key("a"), key("b")]);
    assert_eq!((keys.iter().count(), keys.producer_of(KEY)), (1, Some("a")));
}

#[test]
fn a_drain_key_is_taken_as_pem_or_base64() {
    assert_eq!(drain_keys(BARE), [BARE]);
    assert_eq!(drain_keys(PEM), [BARE]);
    assert_eq!(
        drain_keys(&format!("{PEM},{}", PEM.replace("Gb9E", "Gb9F"))).len(),
        2
    );
    assert_eq!(
        drain_keys("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="),
        [BARE]
    );
    assert_eq!(drain_keys(&format!("{BARE},{OTHER},{BARE}")), [BARE, OTHER]);
    let bytes = DrainKey([1; 32]);
    assert_eq!(format!("{bytes:?}"), format!("DrainKey({OTHER})"));

    let folder = Folder::new();
    for text in [
        format!("{PEM}{PEM}"),
        format!("{BARE}\n"),
        format!("{OTHER}\n{BARE}\n"),
    ] {
        let path = folder.file("keys", text);
        let env = [("NOTICE_AUTH_DRAIN_KEYS_FILE", path.to_str().unwrap())];
        let keys = load_with(&env, &[]).expect("valid").config.auth.drain_keys;
        assert_eq!(keys.last().unwrap().to_string(), BARE);
    }
}

#[test]
fn what_is_no_ed25519_public_key_is_refused() {
    let private = PEM.replace("PUBLIC", "PRIVATE");
    let text = mistake(load_with(&[("NOTICE_AUTH_DRAIN_KEYS", &private)], &[]));
    assert!(
        text.contains("this is a private key") && !text.contains("MCow"),
        "{text}"
    );
    for wrong in [
        "AAAA",
        "not base64!",
        "-----BEGIN",
        &PEM[..60],
        &format!("x{PEM}"),
    ] {
        let text = mistake(load_with(&[("NOTICE_AUTH_DRAIN_KEYS", wrong)], &[]));
        assert!(text.contains("this is no Ed25519 public key"), "{text}");
    }
}
