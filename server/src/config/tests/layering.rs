//! Which layer wins, and what is said about the environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::config::{Source, Warning};

#[test]
fn a_later_layer_wins_and_is_named_as_the_source() {
    let folder = Folder::new();
    let path = folder.file(
        "n.toml",
        "[limits]\nsessions = 1\nids_per_ack = 1\nconnects_per_second = 1\n\n[log]\nlevel = \"warn\"\n",
    );
    let set = owned(&[("limits.sessions", "3")]);
    let env = owned(&[
        ("NOTICE_LIMITS_SESSIONS", "2"),
        ("NOTICE_LIMITS_IDS_PER_ACK", "2"),
    ]);
    let loaded = load(
        Overrides {
            config: Some(path.clone()),
            set,
        },
        env,
    )
    .expect("valid");

    let limits = &loaded.config.limits;
    assert_eq!(
        (
            limits.sessions,
            limits.ids_per_ack,
            limits.connects_per_second
        ),
        (3, 2, 1)
    );
    let source = |path| loaded.sources.of(path).cloned();
    assert_eq!(source("limits.sessions"), Some(Source::CommandLine));
    let variable = Source::Environment("NOTICE_LIMITS_IDS_PER_ACK".to_owned());
    assert_eq!(source("limits.ids_per_ack"), Some(variable));
    assert_eq!(
        source("limits.connects_per_second"),
        Some(Source::File { path, line: 4 })
    );
    assert_eq!(source("limits.message_bytes"), Some(Source::Default));
    assert_eq!(source("limits.nothing"), None);
}

#[test]
fn the_variable_names_the_file_unless_the_flag_does() {
    let folder = Folder::new();
    let by_flag = folder.file("flag.toml", "node_name = \"by-flag\"");
    let by_variable = folder.file("variable.toml", "node_name = \"by-variable\"");
    let env = [("NOTICE_CONFIG", by_variable.to_str().unwrap())];
    assert_eq!(
        load_with(&env, &[]).expect("valid").config.node_name,
        "by-variable"
    );
    assert_eq!(
        load_file(&by_flag, &env).expect("valid").config.node_name,
        "by-flag"
    );
}

#[test]
fn an_empty_variable_for_the_file_names_none() {
    assert!(load_with(&[("NOTICE_CONFIG", "")], &[]).is_ok());
}

#[test]
fn of_one_flag_given_twice_the_last_wins() {
    let set = [("delivery.window", "1"), ("delivery.window", "2")];
    assert_eq!(
        load_with(&[], &set).expect("valid").config.delivery.window,
        2
    );
}

#[test]
fn a_list_in_the_environment_is_written_with_commas() {
    let env = [("NOTICE_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,,fd00::/8,")];
    let proxies = load_with(&env, &[]).expect("valid").config.trusted_proxies;
    assert_eq!(proxies.networks().len(), 3);
    for (peer, believed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("fd00::1", true),
        ("2001:db8::1", false),
    ] {
        assert_eq!(proxies.contain(peer.parse().unwrap()), believed, "{peer}");
    }
}

#[test]
fn networks_and_origins_given_twice_count_once() {
    let env = [
        (
            "NOTICE_TRUSTED_PROXIES",
            "10.0.0.1,10.0.0.1/32,::ffff:10.0.0.1",
        ),
        (
            "NOTICE_AUTH_ALLOWED_ORIGINS",
            "https://A.example,https://a.example:443",
        ),
    ];
    let config = load_with(&env, &[]).expect("valid").config;
    assert_eq!(config.trusted_proxies.networks().len(), 1);
    assert_eq!(config.auth.allowed_origins, ["https://a.example"]);
}

#[test]
fn variables_of_others_are_not_looked_at() {
    let env = [
        ("PATH", "/bin"),
        ("NOTICEBOARD_URL", "x"),
        ("notice_listen", "x"),
    ];
    assert!(load_with(&env, &[]).expect("valid").warnings.is_empty());
}

#[test]
fn an_unknown_variable_is_a_warning_with_a_near_name() {
    let env = [("NOTICE_LISTN", "127.0.0.1:1"), ("NOTICE_COLOUR", "red")];
    let warnings = load_with(&env, &[]).expect("valid").warnings;
    let unknown = |name: &str, meant: Option<&str>| Warning::UnknownVariable {
        name: name.to_owned(),
        meant: meant.map(str::to_owned),
    };
    let expected = [
        unknown("NOTICE_COLOUR", None),
        unknown("NOTICE_LISTN", Some("NOTICE_LISTEN")),
    ];
    assert_eq!(warnings, expected);
    assert!(
        warnings.iter().all(|w| !w.to_string().contains("red")),
        "values are not repeated"
    );
}

#[test]
fn the_variables_kubernetes_makes_for_a_service_are_one_warning() {
    let env = [
        ("NOTICE_SERVICE_HOST", "10.96.0.7"),
        ("NOTICE_SERVICE_PORT", "80"),
        ("NOTICE_SERVICE_PORT_HTTP", "80"),
        ("NOTICE_PORT", "tcp://10.96.0.7:80"),
        ("NOTICE_PORT_80_TCP", "tcp://10.96.0.7:80"),
        ("NOTICE_PORT_80_TCP_PROTO", "tcp"),
        ("NOTICE_PORT_80_TCP_PORT", "80"),
        ("NOTICE_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("NOTICE_REDIS_SERVICE_HOST", "10.96.0.8"),
        ("NOTICE_REDIS_PORT", "tcp://10.96.0.8:6379"),
    ];
    let warnings = load_with(&env, &[]).expect("valid").warnings;
    assert!(
        matches!(&warnings[..], [Warning::ServiceLinks { names }] if names.len() == env.len()),
        "{warnings:?}"
    );
}

#[test]
fn a_port_without_a_url_is_no_service_link_but_a_misunderstanding() {
    let warnings = load_with(&[("NOTICE_PORT", "8080")], &[])
        .expect("valid")
        .warnings;
    assert!(
        matches!(&warnings[..], [Warning::UnknownVariable { .. }]),
        "{warnings:?}"
    );
}

#[test]
fn a_value_that_is_not_utf_8_is_a_mistake_and_a_name_a_warning() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let env = vec![
        (bytes(b"NOTICE_DATA_DIR"), bytes(b"/data/\xff")),
        (bytes(b"NOTICE_\xff"), bytes(b"x")),
        (bytes(b"OTHER"), bytes(b"\xff")),
    ];
    let errors = load(Overrides::default(), env).expect_err("not UTF-8");
    assert_eq!(errors.mistakes().len(), 1);
    assert!(
        errors
            .to_string()
            .contains("data_dir (NOTICE_DATA_DIR): its value is not UTF-8")
    );
    assert_eq!(errors.warnings().len(), 1);

    let env = vec![(bytes(b"NOTICE_CONFIG"), bytes(b"\xff"))];
    let errors = load(Overrides::default(), env).expect_err("not UTF-8");
    assert!(
        errors
            .to_string()
            .contains("NOTICE_CONFIG: its value is not UTF-8"),
        "{errors}"
    );
}
