//! The manual tells the truth: defaults, variables and ranges in it are those of the program.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::config::layers::{Settings, Variables, is_service_link};
use crate::config::mistakes::Findings;
use crate::config::reader::Reader;
use crate::config::value::Value;
use crate::config::{InboxBackend, LogFormat, LogLevel, MANUAL, build, schema};

fn settings() -> Settings {
    let mut findings = Findings::default();
    schema::from_manual(MANUAL, &mut findings)
}

/// What stands behind a setting in the manual: the name of its variable, and its range.
pub(super) fn remark(path: &str) -> (String, Option<(i64, i64)>) {
    let (section, key) = path.split_once('.').unwrap_or(("", path));
    let mut current = "";
    for line in MANUAL.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            current = name;
        }
        let Some(rest) = line.strip_prefix(&format!("{key} = ")) else {
            continue;
        };
        if current == section {
            let (_, remark) = rest
                .rsplit_once("# ")
                .expect("a remark behind each setting");
            let (variable, range) = remark.split_once(", ").unwrap_or((remark, ""));
            let range = range
                .split_once(" to ")
                .map(|(a, b)| (number(a), number(b)));
            return (variable.to_owned(), range);
        }
    }
    unreachable!("{path} is in the manual")
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number in the manual")
}

#[test]
fn started_with_nothing_the_documented_defaults_are_in_force() {
    let config = load_with(&[("NOTICE_NODE_NAME", "n1")], &[])
        .expect("defaults")
        .config;
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin_listen, "127.0.0.1:9090".parse().unwrap());
    assert_eq!(config.base_path, "/notice");
    assert_eq!(config.node_name, "n1");
    assert_eq!(config.data_dir, PathBuf::from("notice-data"));
    assert!(config.trusted_proxies.networks().is_empty());
    assert!(config.auth.api_keys.is_empty());
    assert!(config.auth.drain_keys.is_empty());
    assert!(config.auth.allowed_origins.is_empty());
    assert_eq!(config.sessions.default_ttl, Duration::from_secs(86_400));
    assert_eq!(config.sessions.max_ttl, Duration::from_secs(30 * 86_400));
    assert_eq!(config.sessions.expiring_notice, Duration::from_secs(60));
    assert!(!config.sessions.one_per_account);
    assert_eq!(config.delivery.window, 128);
    assert_eq!(config.delivery.ping, Duration::from_secs(25));
    assert_eq!(config.delivery.pong_timeout, Duration::from_secs(10));
    assert_eq!(config.delivery.sweep, Duration::from_secs(30));
    assert_eq!(config.delivery.poll_busy, Duration::from_millis(100));
    assert_eq!(config.delivery.poll_idle, Duration::from_millis(1_000));
    assert_eq!(config.inbox, InboxBackend::Embedded);
    assert_eq!((config.redis, config.jwt), (None, None));
    assert_eq!(config.page.refresh, Duration::from_secs(12));
    assert_eq!(config.drain.window, Duration::from_secs(60));
    assert_eq!(config.drain.margin, Duration::from_secs(10));
    assert_eq!(config.retention.notices, Duration::from_secs(30 * 86_400));
    assert_eq!(config.retention.idempotency, Duration::from_secs(86_400));
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn started_with_nothing_the_limits_are_those_of_the_protocol() {
    let config = load_with(&[], &[]).expect("defaults").config;
    let limits = config.limits;
    assert_eq!(limits.message_bytes, 64 << 10);
    assert_eq!(limits.account_id_bytes, 128);
    assert_eq!(limits.notices_per_call, 1_000);
    assert_eq!(limits.ids_per_ack, 1_000);
    assert_eq!(limits.unread_per_account, 10_000);
    assert_eq!(limits.sessions_per_account, 100);
    assert_eq!(limits.sessions, 20_000);
    assert_eq!(limits.connects_per_second, 2_000);
    assert_eq!(limits.body_bytes, 16 << 20);
    assert_eq!(limits.stage_rate_per_key, None);
    assert_eq!(limits.send_rate_per_account, None);
    assert_eq!(limits.header_timeout, Duration::from_secs(30));
    assert_eq!(limits.body_timeout, Duration::from_secs(30));
    assert_eq!(config.store.max_bytes, 10 << 30);
    assert_eq!(config.store.min_free_bytes, 512 << 20);
    assert_eq!(config.store.cache_bytes, 32 << 20);
}

#[test]
fn started_with_nothing_the_node_is_named_after_its_host() {
    let loaded = load_with(&[("HOSTNAME", "from-the-shell")], &[]).expect("defaults");
    assert!(!loaded.config.node_name.is_empty());
    assert_eq!(
        loaded.sources.of("node_name").unwrap().to_string(),
        "host name"
    );
}

#[test]
fn the_manual_given_as_a_file_changes_nothing() {
    let folder = Folder::new();
    let from_file = load_file(&folder.file("n.toml", MANUAL), &[]).expect("the manual is valid");
    assert_eq!(
        from_file.config,
        load_with(&[], &[]).expect("defaults").config
    );
    assert!(from_file.warnings.is_empty());
}

#[test]
fn the_manual_names_the_variable_of_each_setting() {
    for setting in settings().iter() {
        assert_eq!(
            remark(&setting.path).0,
            setting.variable,
            "{}",
            setting.path
        );
    }
}

#[test]
fn variables_are_unique_and_none_looks_like_one_of_kubernetes() {
    let settings = settings();
    let names: BTreeSet<&str> = settings.iter().map(|s| s.variable.as_str()).collect();
    assert_eq!(names.len(), settings.iter().count());
    for name in names {
        assert!(!is_service_link(name, Some("tcp://10.0.0.1:80")), "{name}");
    }
}

#[test]
fn the_names_of_the_contract_are_kept() {
    let settings = settings();
    let names: BTreeSet<&str> = settings.iter().map(|s| s.variable.as_str()).collect();
    for name in [
        "NOTICE_LISTEN",
        "NOTICE_ADMIN_LISTEN",
        "NOTICE_DATA_DIR",
        "NOTICE_API_KEYS",
        "NOTICE_API_KEYS_FILE",
        "NOTICE_MONGODB_URI",
        "NOTICE_MONGODB_URI_FILE",
        "NOTICE_MONGODB_DATABASE",
        "NOTICE_REDIS_URI",
        "NOTICE_REDIS_URI_FILE",
        "NOTICE_REDIS_KEY_PREFIX",
        "NOTICE_REDIS_NAMESPACE",
        "NOTICE_NODE_NAME",
        "NOTICE_DRAIN_WINDOW_SECONDS",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn the_program_reads_each_setting_of_the_manual_once_and_no_other() {
    let (mut settings, mut findings) = (settings(), Findings::default());
    let variables = Variables::collect(Vec::<(String, String)>::new());
    let mut reader = Reader::new(&mut settings, &mut findings);
    build::read(&mut reader, &variables);
    let mut read = std::mem::take(&mut reader.read);
    let mut written: Vec<String> = settings.iter().map(|s| s.path.clone()).collect();
    read.sort();
    written.sort();
    assert_eq!(read, written);
}

#[test]
fn each_number_may_be_what_the_manual_says_and_nothing_beyond() {
    for setting in settings()
        .iter()
        .filter(|s| matches!(s.value, Value::Integer(_)))
    {
        let (_, range) = remark(&setting.path);
        let (least, most) = range.unwrap_or_else(|| panic!("{} needs a range", setting.path));
        for number in [least, most] {
            assert!(
                !out_of_range(&setting.path, number),
                "{} = {number}",
                setting.path
            );
        }
        for number in [least - 1, most + 1, i64::MIN, i64::MAX] {
            assert!(
                out_of_range(&setting.path, number),
                "{} = {number}",
                setting.path
            );
        }
    }
}

fn out_of_range(path: &str, number: i64) -> bool {
    load_with(&[], &[(path, &number.to_string())])
        .is_err_and(|errors| errors.to_string().contains("out of range"))
}
