//! Everything that is wrong is named at once, with its place and a way out.

use super::*;

fn load_text(text: impl AsRef<[u8]>) -> Result<Loaded, ConfigErrors> {
    load_file(&Folder::new().file("n.toml", text), &[])
}

/// Loads one setting of the command line.
fn set(path: &str, word: &str) -> Result<Loaded, ConfigErrors> {
    load_with(&[], &[(path, word)])
}

#[test]
fn all_mistakes_of_all_layers_are_named_at_once_in_order() {
    let folder = Folder::new();
    let path = folder.file(
        "n.toml",
        "lisen = \"x\"\n[limits]\nsesions = 5\nsessions = \"many\"\n[colours]\na = 1\n",
    );
    let set = owned(&[("log.level", "loud"), ("log.formt", "x")]);
    let env = owned(&[
        ("NOTICE_DELIVERY_WINDOW", "5000"),
        ("NOTICE_DRAIN_WINDOW_SECONDS", "1m"),
    ]);
    let errors = load(
        Overrides {
            config: Some(path.clone()),
            set,
        },
        env,
    )
    .expect_err("wrong");
    let expected = format!(
        "the configuration has 8 mistakes:\n  \
         1. lisen ({path}:1): there is no such setting; did you mean listen?\n  \
         2. limits.sesions ({path}:3): there is no such setting; did you mean limits.sessions?\n  \
         3. limits.sessions ({path}:4): this is a text; write a whole number in digits, without \
         quotes or a unit\n  \
         4. colours ({path}:5): there is no such section; take it out; the manual is \
         notice-server.toml\n  \
         5. drain.window_seconds (NOTICE_DRAIN_WINDOW_SECONDS): \"1m\" is not a whole number; write \
         a whole number in digits, without quotes or a unit\n  \
         6. \"log.formt\" (command line): there is no such setting; did you mean log.format?\n  \
         7. delivery.window (NOTICE_DELIVERY_WINDOW): 5000 is out of range; write a number from 1 \
         to 4096\n  \
         8. log.level (command line): \"loud\" is none of the choices; write one of: error, warn, \
         info, debug, trace",
        path = path.display(),
    );
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn the_wrong_kind_of_value_is_a_mistake() {
    for text in [
        "listen = 8080",
        "[sessions]\none_per_account = \"yes\"",
        "[limits]\nsessions = 1.5",
        "[limits]\nsessions = true",
        "[limits.sessions]\nx = 1",
        "[auth]\nallowed_origins = \"https://a.example\"",
        "[auth]\nallowed_origins = [1]",
        "[delivery]\nping_seconds = 2020-01-01",
    ] {
        mistake(load_text(text));
    }
}

#[test]
fn a_setting_in_the_wrong_shape_is_explained() {
    assert!(mistake(load_text("limits = 5")).contains("write [limits] on a line"));
    assert!(mistake(load_text("[limit]\nsessions = 5")).contains("did you mean [limits]?"));
    assert!(mistake(load_text("window = 5")).contains("did you mean delivery.window?"));
    let camel = mistake(load_text("[drain]\nwindowSeconds = 5"));
    assert!(
        camel.contains("did you mean drain.window_seconds?"),
        "{camel}"
    );
    assert!(mistake(load_text("[mongo]\nuri = \"x\"")).contains("did you mean [mongodb]?"));
    assert!(mistake(load_text("[redis]\nurl = \"x\"")).contains("did you mean redis.uri?"));
}

#[test]
fn a_broken_file_is_told_by_line_and_starts_no_guesses() {
    let folder = Folder::new();
    let path = folder.file(
        "n.toml",
        "[auth]\napi_keys = [\"secretsecretsecret\" oops\n",
    );
    let errors = load_file(&path, &[("NOTICE_LISTEN", "0.0.0.0:80")]).expect_err("broken");
    let text = errors.to_string();
    assert!(text.contains("n.toml:2"), "{text}");
    assert!(text.contains("this is not TOML"), "{text}");
    assert!(!text.contains("secretsecret"), "{text}");
    assert!(
        !text.contains("no API key"),
        "it may stand in the broken file: {text}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_who_named_it() {
    let folder = Folder::new();
    let here = folder.0.path().to_str().unwrap();
    let text = mistake(load_with(&[("NOTICE_CONFIG", here)], &[]));
    assert!(
        text.starts_with("the configuration file (NOTICE_CONFIG): "),
        "{text}"
    );
    assert!(text.contains("is a folder, not a file"), "{text}");
    let text = mistake(load_file(&folder.0.path().join("absent.toml"), &[]));
    assert!(
        text.contains("(command line)") && text.contains("No such file"),
        "{text}"
    );
    assert!(mistake(load_text(b"listen = \"\xff\"")).contains("is not UTF-8"));
    assert!(mistake(load_text(vec![b'#'; 2 << 20])).contains("is longer than"));
    assert!(mistake(load_file(Path::new("/dev/zero"), &[])).contains("is longer than"));
}

#[test]
fn a_public_address_without_a_key_is_refused_with_the_way_out() {
    for public in [
        "0.0.0.0:8080",
        "[::]:8080",
        "192.0.2.1:80",
        "[::ffff:192.0.2.1]:80",
    ] {
        let text = mistake(load_with(&[("NOTICE_LISTEN", public)], &[]));
        assert!(
            text.starts_with("listen (NOTICE_LISTEN) and auth.api_keys (default)"),
            "{text}"
        );
        assert!(
            text.contains("NOTICE_API_KEYS=orders:$(openssl rand -hex 24)"),
            "{text}"
        );
        let env = [("NOTICE_LISTEN", public), ("NOTICE_API_KEYS", KEY)];
        assert!(
            load_with(&env, &[])
                .expect("valid")
                .config
                .listens_publicly()
        );
    }
}

#[test]
fn a_misspelt_key_variable_is_told_beside_the_open_door() {
    let env = [("NOTICE_LISTEN", "0.0.0.0:8080"), ("NOTICE_API_KEY", KEY)];
    let text = load_with(&env, &[]).expect_err("no key").to_string();
    assert!(text.contains("did you mean NOTICE_API_KEYS?"), "{text}");
    assert!(!text.contains(KEY), "{text}");
}

#[test]
fn loopback_needs_no_key_and_the_admin_listener_may_be_public() {
    for local in [
        "127.0.0.1:0",
        "127.9.9.9:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "localhost:0",
    ] {
        let env = [
            ("NOTICE_LISTEN", local),
            ("NOTICE_ADMIN_LISTEN", "0.0.0.0:9090"),
        ];
        assert!(
            !load_with(&env, &[])
                .expect("valid")
                .config
                .listens_publicly(),
            "{local}"
        );
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_both_places() {
    let both = |set: &[(&str, &str)]| mistake(load_with(&[], set));
    assert!(both(&[("listen", "127.0.0.1:9090")]).starts_with("listen (command line) and admin_l"));
    assert!(both(&[("admin_listen", "0.0.0.0:8080")]).contains("the same port"));
    assert!(both(&[("sessions.max_ttl_seconds", "60")]).contains("default_ttl_seconds (default)"));
    assert!(both(&[("delivery.ping_seconds", "5")]).contains("next ping"));
    assert!(both(&[("delivery.poll_idle_ms", "50")]).contains("poll less often"));
    assert!(both(&[("limits.body_bytes", "65536")]).contains("twice"));
    assert!(
        load_with(
            &[],
            &[("listen", "127.0.0.1:0"), ("admin_listen", "127.0.0.1:0")]
        )
        .is_ok()
    );
}

#[test]
fn a_mistake_brings_no_contradiction_along() {
    let text = mistake(load_with(
        &[("NOTICE_LISTEN", "0.0.0.0:80"), ("NOTICE_API_KEYS", "x:")],
        &[],
    ));
    assert!(text.contains("the secret has 0 characters"), "{text}");
    mistake(set("delivery.ping_seconds", "0"));
    mistake(load_text("listen = \"0.0.0.0:80\"\n[auth]\napi_keys = 7"));
}

#[test]
fn addresses_paths_and_names_that_cannot_work_are_refused() {
    for (path, words) in [
        (
            "listen",
            &[
                "",
                ":8080",
                "8080",
                "host:80",
                "1.2.3.4:99999",
                "1.2.3.4",
                "\0",
            ][..],
        ),
        (
            "base_path",
            &[
                "notice", "//", "/a//b", "/..", "/a/./b", "/a?b", "/a%2f", "/ü", "/a b",
            ],
        ),
        ("node_name", &["a b", "a/b", "ü", "\n"]),
        ("data_dir", &["", "a\0b", "a\nb"]),
        (
            "trusted_proxies",
            &["10.0.0.0/33", "proxy", "10.0.0.1/8", "*"],
        ),
        (
            "auth.allowed_origins",
            &[
                "*",
                "null",
                "a.example",
                "https://a.example/",
                "https://",
                "https://a:b",
                "https://u@a",
            ],
        ),
        ("sessions.one_per_account", &["", "1", "yes", "True"]),
        ("log.format", &["", "JSON", "xml"]),
        (
            "mongodb.database",
            &["", "a b", "a/b", "a.b", "$a", "a\0", &"x".repeat(64)],
        ),
        (
            "mongodb.write_concern",
            &["", "0", "51", "-1", "+1", "Majority", "all", "1.5"],
        ),
        ("redis.key_prefix", &["a\nb", &"x".repeat(201)]),
        ("redis.namespace", &["a b", "{a}", "a*", "a\0"]),
        ("redis.ca_file", &["/nowhere/ca.pem", "a\nb"]),
        ("jwt.account_claim", &["", "a\tb"]),
        ("jwt.algorithms", &["none", "hs256", "RS512", "RS256,EdDSA"]),
        (
            "jwt.jwks_url",
            &[
                "keys.example",
                "http://keys.example/jwks",
                "http://10.0.0.1/jwks",
                "http://localhost.example/jwks",
                "ftp://localhost/jwks",
                "https://",
                "https:///jwks",
                "https://a b/jwks",
            ],
        ),
        (
            "delivery.window",
            &[
                "",
                "1.5",
                "0x10",
                "1e3",
                "99999999999999999999999",
                "٣",
                "1 2",
            ],
        ),
    ] {
        for word in words {
            let text = mistake(set(path, word));
            assert!(
                text.starts_with(&format!("{path} (command line): ")),
                "{text}"
            );
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn addresses_paths_and_origins_are_taken_in_their_forms() {
    let base = |word: &str| set("base_path", word).expect("valid").config.base_path;
    assert_eq!(
        (base("/"), base(""), base("/a/b/")),
        (String::new(), String::new(), "/a/b".into())
    );
    for (given, taken) in [
        ("https://App.Example.com", "https://app.example.com"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ] {
        let config = set("auth.allowed_origins", given).expect("valid").config;
        assert_eq!(config.auth.allowed_origins, [taken]);
    }
}

#[test]
fn trusting_everyone_is_a_warning() {
    for everyone in ["0.0.0.0/0", "::/0"] {
        let warnings = set("trusted_proxies", everyone).expect("valid").warnings;
        assert!(
            warnings[0]
                .to_string()
                .contains("(command line) holds every address")
        );
    }
}

#[test]
fn hostile_text_is_cut_and_escaped_in_messages() {
    let text = mistake(set("log.level", &"x\u{1b}[31m\n".repeat(10_000)));
    assert!(
        text.len() < 400 && !text.contains('\u{1b}') && !text.contains('\n'),
        "{text:?}"
    );
    let text = mistake(set(&"y\n".repeat(10_000), "1"));
    assert!(text.len() < 400 && !text.contains('\n'), "{text:?}");
    let text = mistake(load_text(format!("\"{}\" = 1", "z\\n".repeat(10_000))));
    assert!(text.len() < 400 && !text.contains('\n'), "{text:?}");
    let text = mistake(load_text("[limits]\nsessions = 99999999999999999999999999"));
    assert!(text.contains("is too large a number"), "{text}");
    let deep = format!("[limits]\nsessions = {}", "[".repeat(100_000));
    assert!(load_text(deep).is_err());
}
