use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

fn at(host: &str, port: u16) -> HostPort {
    HostPort {
        host: host.to_owned(),
        port,
    }
}

fn login(username: &str, password: &str) -> RedisCredentials {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    RedisCredentials {
        username: given(username),
        password: given(password).map(Secret::new),
    }
}

fn endpoint(servers: RedisServers) -> RedisEndpoint {
    RedisEndpoint {
        servers,
        tls: false,
        credentials: RedisCredentials::default(),
        database: 0,
    }
}

#[test]
fn one_server_is_a_host_with_what_may_stand_around_it() {
    let plain = endpoint(RedisServers::Single(at("db", 6379)));
    assert_eq!(read("redis://db"), Ok(plain.clone()));
    assert_eq!(read("redis://db/"), Ok(plain));
    let all = RedisEndpoint {
        servers: RedisServers::Single(at("::1", 7000)),
        tls: true,
        credentials: login("us er", "p@ss:/?#%ü"),
        database: 3,
    };
    let text = "rediss://us%20er:p%40ss%3A%2F%3F%23%25%C3%BC@[::1]:7000/3";
    assert_eq!(read(text), Ok(all));
}

#[test]
fn credentials_may_be_a_password_only_or_a_user_only() {
    let of = |text: &str| read(text).expect(text).credentials;
    assert_eq!(of("redis://:sesame@db"), login("", "sesame"));
    assert_eq!(of("redis://user@db"), login("user", ""));
    assert_eq!(of("redis://user:a:b@db"), login("user", "a:b"));
    assert_eq!(of("redis://:@db"), login("", ""));
}

#[test]
fn a_master_is_found_by_sentinels_that_may_want_credentials_of_their_own() {
    let text = "rediss+sentinel://u:p@a,b:7,[::1]/my-master.1/2\
                ?sentinel_username=s&sentinel_password=t%26u";
    let expected = RedisEndpoint {
        servers: RedisServers::Sentinel {
            sentinels: vec![at("a", 26379), at("b", 7), at("::1", 26379)],
            master: "my-master.1".to_owned(),
            credentials: login("s", "t&u"),
        },
        tls: true,
        credentials: login("u", "p"),
        database: 2,
    };
    assert_eq!(read(text), Ok(expected));
}

#[test]
fn a_cluster_is_known_by_some_of_its_nodes() {
    let nodes = vec![at("a", 6379), at("b", 7001)];
    let expected = endpoint(RedisServers::Cluster(nodes));
    for text in ["redis+cluster://a,b:7001", "redis+cluster://a,b:7001/0"] {
        assert_eq!(read(text), Ok(expected.clone()));
    }
}

#[test]
fn what_is_no_uri_of_redis_is_refused_without_its_text() {
    for text in [
        "",
        "db:6379",
        "http://u:sesame@db",
        "redis:u:sesame@db",
        "REDIS://u:sesame@db",
        "redis://",
        "redis://u:sesame@",
        "redis://u:sesame@db:0",
        "redis://u:sesame@db:+1",
        "redis://u:sesame@db:65536",
        "redis://u:sesame@db/x",
        "redis://u:sesame@db/-1",
        "redis://u:sesame@db/2147483648",
        "redis://u:sesame@db?db=1",
        "redis://u:sesame@a,b",
        "redis://u:sesame/x@db",
        "redis://u:1/sesame@db",
        "redis://u?sesame@db",
        "redis://u:ses%ame@db",
        "redis://u:sesame%ff@db",
        "redis://u:sesame#@db",
        "redis://u:sesame@[db]",
        "redis://u:sesame@::1",
        "redis://u:sesame@[::1]6379",
        "redis+sentinel://u:sesame@a,b",
        "redis+sentinel://u:sesame@a,b/",
        "redis+sentinel://u:sesame@a,b/ma%20ster",
        "redis+sentinel://u:sesame@a/m/x",
        "redis+sentinel://u:sesame@a/m?sentinel_password",
        "redis+sentinel://u:p@a/m?sentinel_passwort=sesame",
        "redis+sentinel://a/m?sentinel_password=sesame&sentinel_password=sesame",
        "redis+cluster://u:sesame@a/1",
        "redis+cluster://u:sesame@a?x=y",
        "redis+cluster://u:sesame@",
    ] {
        let (problem, remedy) = read(text).expect_err(text);
        assert!(!format!("{problem}{remedy}").contains("sesame"), "{text}");
    }
}

#[test]
fn credentials_are_shown_neither_for_the_log_nor_for_debugging() {
    for (text, shown) in [
        ("rediss://sesame:sesame@[::1]/1", "rediss://[::1]:6379/1"),
        (
            "redis+sentinel://sesame@a/m?sentinel_password=sesame",
            "redis+sentinel://a:26379/m/0",
        ),
        (
            "redis+cluster://:sesame@a,b",
            "redis+cluster://a:6379,b:6379",
        ),
    ] {
        let endpoint = read(text).expect(text);
        assert_eq!(endpoint.to_string(), shown);
        let debug = format!("{endpoint:?} {:?} {endpoint:#?}", endpoint.servers);
        assert!(
            !debug.contains("sesame") && debug.contains("<hidden>"),
            "{debug}"
        );
    }
}

fn any_host() -> impl Strategy<Value = HostPort> {
    (
        "[a-z][a-z0-9.-]{0,9}|10\\.0\\.0\\.[0-9]|fd00::[1-9]",
        1..=u16::MAX,
    )
        .prop_map(|(host, port)| HostPort { host, port })
}

fn any_servers() -> impl Strategy<Value = RedisServers> {
    let some = || proptest::collection::vec(any_host(), 1..4);
    prop_oneof![
        any_host().prop_map(RedisServers::Single),
        some().prop_map(RedisServers::Cluster),
        (some(), "[A-Za-z0-9._-]{1,9}", any_login()).prop_map(
            |(sentinels, master, credentials)| {
                RedisServers::Sentinel {
                    sentinels,
                    master,
                    credentials,
                }
            }
        ),
    ]
}

fn any_login() -> impl Strategy<Value = RedisCredentials> {
    ("\\PC{0,9}", "\\PC{0,9}").prop_map(|(user, password)| login(&user, &password))
}

/// Writes an endpoint as a URI.
fn written(endpoint: &RedisEndpoint) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let parts = |of: &RedisCredentials| {
        let user = encoded(of.username.as_deref().unwrap_or_default());
        let password = of.password.as_ref().map_or("", Secret::reveal);
        (user, encoded(password))
    };
    let (user, password) = parts(&endpoint.credentials);
    let (scheme, rest) = {
        let shown = endpoint.to_string();
        let (scheme, rest) = shown.split_once("://").expect("a scheme");
        (scheme.to_owned(), rest.to_owned())
    };
    let query = match &endpoint.servers {
        RedisServers::Sentinel { credentials, .. } => {
            let (user, password) = parts(credentials);
            format!("?sentinel_username={user}&sentinel_password={password}")
        }
        _ => String::new(),
    };
    format!("{scheme}://{user}:{password}@{rest}{query}")
}

proptest! {
    #[test]
    fn any_endpoint_written_as_a_uri_is_read_as_the_same(
        servers in any_servers(),
        tls in any::<bool>(),
        credentials in any_login(),
        number in 0..=MOST_DATABASE,
    ) {
        let database = if matches!(servers, RedisServers::Cluster(_)) { 0 } else { number };
        let endpoint = RedisEndpoint { servers, tls, credentials, database };
        let text = written(&endpoint);
        prop_assert_eq!(read(&text), Ok(endpoint), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        text in "((redis|rediss)(\\+sentinel|\\+cluster)?://|)[a-z0-9@:/?%&=\\[\\],.\\PC]{0,60}",
    ) {
        let _either_way = read(&text);
    }
}
