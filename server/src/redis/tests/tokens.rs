//! Session tokens and the deny list on real servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::server::{Server, ask, shared, unique};
use crate::clock::{Clock, Millis};
use crate::config::Secret;
use crate::domain::AccountId;
use crate::redis::{Connector, Endpoint, Kind, Login, RedisDenyList, RedisTokens, TokenKeys};
use crate::tokens::conformance::TokenBackend;
use crate::tokens::{DenyList, HeldToken, SessionTokens, TokenDigest};

const START: Millis = 1_790_000_000_000;

pub(super) fn shared_endpoint() -> Endpoint {
    Endpoint {
        kind: Kind::Single(shared()),
        ..Endpoint::single("", 0)
    }
}

pub(super) fn tokens(endpoint: &Endpoint, prefix: &str, clock: &Clock) -> Arc<RedisTokens> {
    let connector = Arc::new(Connector::new(endpoint.clone()).expect("readable"));
    let keys = TokenKeys {
        prefix: prefix.to_owned(),
        namespace: "own:".to_owned(),
    };
    Arc::new(RedisTokens::new(connector, keys, 128, by(clock)))
}

pub(super) fn by(clock: &Clock) -> crate::clock::Now {
    let clock = clock.clone();
    Arc::new(move || clock.now())
}

struct Shared {
    prefix: String,
    clock: Clock,
}

impl Shared {
    fn new() -> Self {
        Self {
            prefix: unique("session"),
            clock: Clock::manual(START),
        }
    }

    fn tokens(&self) -> Arc<RedisTokens> {
        tokens(&shared_endpoint(), &self.prefix, &self.clock)
    }

    /// As another system would write it.
    async fn write(&self, token: &str, value: &str) {
        let key = format!("{}{token}", self.prefix);
        ask(
            &shared_endpoint(),
            &shared(),
            &["SET", &key, value, "EX", "100"],
        )
        .await;
    }
}

#[async_trait]
impl TokenBackend for Shared {
    type Tokens = RedisTokens;

    async fn open_tokens(&self) -> Arc<RedisTokens> {
        self.tokens()
    }

    async fn close_tokens(&self, _: Arc<RedisTokens>) {}

    fn time(&self) -> Millis {
        self.clock.now()
    }

    fn advance_time(&self, by: Millis) {
        self.clock.advance(by);
    }

    async fn settle_tokens(&self, _: &RedisTokens) {}
}

mod suite {
    crate::tokens_conformance!(super::Shared::new());
}

#[tokio::test]
async fn tokens_of_other_systems_are_read_and_their_unknown_members_passed_over() {
    let shared = Shared::new();
    let tokens = shared.tokens();
    let old = r#"{"accountID":"u 1","isValid":false,"roles":["a"],"expireTime":null}"#;
    shared.write("old", old).await;
    shared
        .write(
            "ends",
            &format!(r#"{{"accountID":"u2","expireTime":{}}}"#, START + 500),
        )
        .await;
    let grant = tokens.resolve("old").await.expect("read").expect("valid");
    assert_eq!(grant.account, AccountId::trusted("u 1"));
    // The key's own time to live.
    let ends = grant.expires.expect("it ends");
    assert!((START + 90_000..=START + 100_000).contains(&ends), "{ends}");
    let grant = tokens.resolve("ends").await.expect("read").expect("valid");
    assert_eq!(grant.expires, Some(START + 500), "the earlier of both");
    shared.clock.advance(500);
    assert_eq!(tokens.resolve("ends").await, Ok(None));
}

#[tokio::test]
async fn a_value_that_is_not_what_it_should_be_is_not_valid_and_spoils_no_other() {
    let shared = Shared::new();
    let tokens = shared.tokens();
    let long = format!(r#"{{"accountID":"{}"}}"#, "u".repeat(129));
    let bad = [
        "",
        "u1",
        "[]",
        "{}",
        r#"{"accountID":7}"#,
        r#"{"accountID":""}"#,
        r#"{"accountID":"a\u0000"}"#,
        r#"{"accountID":"u1","expireTime":"soon"}"#,
        r#"{"accountID":"u1","expireTime":-1}"#,
        long.as_str(),
    ];
    for (n, value) in bad.iter().enumerate() {
        shared.write(&n.to_string(), value).await;
        assert_eq!(tokens.resolve(&n.to_string()).await, Ok(None), "{value}");
    }
    shared.write("good", r#"{"accountID":"u1"}"#).await;
    let list = format!("{}list", shared.prefix);
    ask(
        &shared_endpoint(),
        &super::server::shared(),
        &["RPUSH", &list, "x"],
    )
    .await;
    assert_eq!(tokens.resolve("list").await, Ok(None), "of another kind");
    let held = ["0", "good", "list", "unknown"].map(|token| tokens.hold(token));
    let again = tokens.recheck(&held).await.expect("read");
    let valid: Vec<bool> = again.iter().map(Option::is_some).collect();
    assert_eq!(valid, [false, true, false, false]);
    ask(
        &shared_endpoint(),
        &super::server::shared(),
        &["DEL", &list],
    )
    .await;
}

#[tokio::test]
async fn a_token_whose_key_would_be_one_of_our_own_is_refused() {
    let clock = Clock::manual(START);
    let server = Server::start(&[]).await;
    let value = r#"{"accountID":"u1"}"#;
    ask(
        &server.endpoint(),
        &server.address(),
        &["SET", "own:x", value],
    )
    .await;
    let tokens = tokens(&server.endpoint(), "", &clock);
    assert_eq!(tokens.resolve("own:x").await, Ok(None));
    let held = tokens.hold("own:x");
    assert_eq!(
        tokens.recheck(std::slice::from_ref(&held)).await,
        Ok(vec![None])
    );
    tokens.revoke(&[held]).await.expect("passed over");
    let digest = HeldToken::Digest(TokenDigest::of("y"));
    assert_eq!(tokens.recheck(&[digest]).await, Ok(vec![None]));
    let kept = ask(&server.endpoint(), &server.address(), &["EXISTS", "own:x"]).await;
    assert_eq!(kept, crate::redis::resp::Frame::Integer(1));
}

#[tokio::test]
async fn thousands_of_tokens_are_looked_at_again_in_their_order() {
    let shared = Shared::new();
    let tokens = shared.tokens();
    let issued = tokens
        .issue(&AccountId::trusted("u1"), START + 60_000)
        .await;
    let good = tokens.hold(&issued.expect("issued").token);
    let held: Vec<HeldToken> = (0..3000)
        .map(|n| {
            if n % 7 == 0 {
                good.clone()
            } else {
                tokens.hold(&n.to_string())
            }
        })
        .collect();
    let grants = tokens.recheck(&held).await.expect("read");
    assert_eq!(grants.len(), held.len());
    for (n, grant) in grants.iter().enumerate() {
        assert_eq!(grant.is_some(), n % 7 == 0, "{n}");
    }
}

#[tokio::test]
async fn while_redis_is_away_calls_fail_at_once_and_afterwards_they_work_again() {
    let clock = Clock::manual(START);
    let mut server = Server::start(&[]).await;
    let tokens = tokens(&server.endpoint(), "session:", &clock);
    assert_eq!(tokens.resolve("t").await, Ok(None));
    server.kill();
    let begun = Instant::now();
    for _ in 0..100 {
        let error = tokens.resolve("secret-token").await.expect_err("away");
        assert!(!error.to_string().contains("secret-token"));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    server.restart(&[]).await;
    until_it_works(&tokens).await;
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_from_one_whose_tokens_were_deleted() {
    let clock = Clock::manual(START);
    let mut server = Server::start(&[]).await;
    let tokens = tokens(&server.endpoint(), "session:", &clock);
    let issued = tokens
        .issue(&AccountId::trusted("u1"), START + 60_000)
        .await
        .expect("issued");
    let held = [tokens.hold(&issued.token)];
    assert!(tokens.recheck(&held).await.expect("read")[0].is_some());
    tokens.revoke(&held).await.expect("revoked");
    assert_eq!(tokens.recheck(&held).await, Ok(vec![None]));
    assert_eq!(tokens.losses(), 0, "one was deleted, nothing was lost");
    for losses in 1..3 {
        server.kill();
        server.restart(&[]).await;
        until_it_works(&tokens).await;
        assert_eq!(tokens.recheck(&held).await, Ok(vec![None]));
        assert_eq!(tokens.losses(), losses);
    }
}

#[tokio::test]
async fn redis_that_is_stopped_costs_a_call_a_second_at_most() {
    let clock = Clock::manual(START);
    let server = Server::start(&[]).await;
    let tokens = tokens(&server.endpoint(), "session:", &clock);
    assert_eq!(tokens.resolve("t").await, Ok(None));
    server.signal(rustix::process::Signal::STOP);
    for _ in 0..3 {
        let begun = Instant::now();
        tokens.resolve("t").await.expect_err("stopped");
        assert!(begun.elapsed() < Duration::from_millis(1400));
    }
    server.signal(rustix::process::Signal::CONT);
    until_it_works(&tokens).await;
}

#[tokio::test]
async fn a_password_that_is_wrong_is_said_clearly_and_never_shown() {
    let clock = Clock::manual(START);
    let mut server = Server::start(&["--requirepass", "right-one"]).await;
    let with = |password: &str| Endpoint {
        login: Login {
            username: None,
            password: Some(Secret::new(password)),
        },
        ..server.endpoint()
    };
    let (right, wrong, none) = (with("right-one"), with("wrong-one"), server.endpoint());
    let tokens_of = |endpoint| tokens(endpoint, "session:", &clock);
    assert_eq!(tokens_of(&right).resolve("t").await, Ok(None));
    for endpoint in [&wrong, &none] {
        let error = tokens_of(endpoint).resolve("t").await.expect_err("refused");
        let connector = Connector::new(endpoint.clone()).expect("readable");
        assert!(!format!("{error} {endpoint:?}").contains("wrong-one"));
        if endpoint.login.password.is_some() {
            let opened = connector.open(&server.address()).await;
            let reason = opened.err().expect("refused").to_string();
            assert!(reason.contains("password is wrong"), "{reason}");
            assert!(!reason.contains("wrong-one"));
        }
    }
    // It comes back with another one.
    let tokens = tokens_of(&right);
    assert_eq!(tokens.resolve("t").await, Ok(None));
    server.restart(&["--requirepass", "another"]).await;
    let begun = Instant::now();
    loop {
        let error = tokens.resolve("t").await.expect_err("refused");
        if error
            .reason
            .contains("refuses the user name or the password")
        {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_denied_is_denied_until_its_end() {
    let clock = Clock::manual(START);
    let connector = Arc::new(Connector::new(shared_endpoint()).expect("readable"));
    let list = RedisDenyList::new(connector, &unique("deny"), by(&clock));
    let [one, other, late] = ["a", "b", "c"].map(TokenDigest::of);
    list.deny(&one, START + 300).await.expect("denied");
    list.deny(&late, START).await.expect("needs nothing");
    let question = [other, one, late];
    assert_eq!(list.denied(&question).await, Ok(vec![false, true, false]));
    assert_eq!(list.denied(&[]).await, Ok(vec![]));
    let begun = Instant::now();
    while list.denied(&[one]).await != Ok(vec![false]) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn until_it_works(tokens: &RedisTokens) {
    let begun = Instant::now();
    loop {
        let answer = tokens.resolve("t").await;
        if answer == Ok(None) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
