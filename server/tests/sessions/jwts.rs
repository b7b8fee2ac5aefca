//! JWTs as a way in: who is let in by one, and what ends the session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::{
    Api, Folder, Handshake, Issuer, KEY, Program, Request, Server, Socket, eventually,
};
use crate::tokens::outlives;

fn server() -> Server {
    Server::with(&Issuer::settings())
}

/// A server that obeys `exp` to the second.
fn punctual_server(more: &[(&str, &str)]) -> Server {
    let punctual = ("NOTICE_JWT_LEEWAY_SECONDS", "0");
    Server::with(&[&Issuer::settings()[..], &[punctual], more].concat())
}

/// A handshake in each of the ways to carry a token.
fn ways(token: &str) -> [Handshake; 5] {
    [
        Handshake::v1(token),
        Handshake::v1_bare().header("authorization", format!("Bearer {token}")),
        Handshake::v1_bare().query(format!("SESSION_TOKEN_KEY={token}")),
        Handshake::legacy(token),
        Handshake::bare().header("cookie", format!("SESSION_TOKEN_KEY={token}")),
    ]
}

async fn refused_in_every_way(server: &Api, token: &str, why: &str) {
    for way in ways(token) {
        let answer = way.refused(server.public).await;
        assert_eq!(answer.status, 401, "{why}: {way:?}");
        answer.expect_problem(401, "UNAUTHENTICATED");
    }
    let answer = server.client_get(token, "/session").await;
    answer.expect_problem(401, "UNAUTHENTICATED");
}

async fn refresh(client: &mut Socket, token: &str) {
    client
        .send(&json!({"type": "refresh", "token": token}))
        .await;
}

async fn is_still_there(server: &Api, client: &mut Socket) {
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
    server.recall(&id).await.expect(204);
    assert_eq!(client.expect("recall").await["ids"], json!([id]));
}

#[tokio::test]
async fn a_jwt_lets_in_from_each_of_the_places_that_may_carry_a_token() {
    let server = server();
    let token = Issuer::hs256().jwt("u2", 3600);
    for way in ways(&token) {
        let mut client = way.open(server.public).await;
        let id = server.stage("u2", "hello").await;
        assert_eq!(client.notice().await.id, id, "{way:?}");
        server.recall(&id).await.expect(204);
    }
}

#[tokio::test]
async fn the_account_and_the_end_of_a_jwt_are_told() {
    let server = server();
    let exp = Issuer::now() + 600;
    let token = Issuer::hs256().jwt_with("u2", &json!({"exp": exp}));
    let asked = server.client_get(&token, "/session").await;
    let session = asked.expect(200).json();
    assert_eq!(session["accountId"], "u2");
    // The leeway for the issuer's clock is on top.
    assert_eq!(session["expireTime"], (exp + 5) * 1000);
    let sent = json!({"receiverId": "u3", "message": "hello"});
    server.client_post(&token, "/send", &sent).await.expect(201);
    let other = server.token("u3").await;
    assert_eq!(
        server.inbox(&other, "").await[0].sender.as_deref(),
        Some("u2")
    );
}

#[tokio::test]
async fn a_jwt_that_does_not_hold_is_refused_before_the_upgrade() {
    let server = server();
    let issuer = Issuer::hs256();
    let now = Issuer::now();
    let by_claims = [
        json!({"iss": "https://other.example"}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": ["other"]}),
        json!({"aud": null}),
        json!({"exp": now - 60}),
        json!({"exp": null}),
        json!({"nbf": now + 60}),
        json!({"sub": null}),
        json!({"sub": 7}),
        json!({"sub": ""}),
        json!({"sub": "x".repeat(129)}),
    ];
    for changes in by_claims {
        let token = issuer.jwt_with("u2", &changes);
        refused_in_every_way(&server, &token, &changes.to_string()).await;
    }
    let signed = |issuer: Issuer| issuer.jwt("u2", 3600);
    let good = issuer.jwt("u2", 3600);
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let claims = unsigned.split_once('.').unwrap().1;
    let none = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
    let other_claims = signed(Issuer::hs256());
    let other_claims = other_claims.rsplit_once('.').unwrap().0;
    let by_signature = [
        (
            "HS384",
            signed(Issuer::with_secret(Algorithm::HS384, Issuer::secret())),
        ),
        (
            "HS512",
            signed(Issuer::with_secret(Algorithm::HS512, Issuer::secret())),
        ),
        ("ES256", signed(Issuer::es256(1))),
        (
            "another secret",
            signed(Issuer::with_secret(Algorithm::HS256, KEY)),
        ),
        ("none", format!("{none}.{claims}.")),
        (
            "none and a signature",
            format!("{none}.{claims}.{signature}"),
        ),
        ("no signature", format!("{unsigned}.")),
        ("another's signature", format!("{other_claims}.{signature}")),
        ("a part more", format!("{good}.")),
    ];
    for (why, token) in by_signature {
        refused_in_every_way(&server, &token, why).await;
    }
    server.client_get(&good, "/session").await.expect(200);
    let opened = server.metrics().await.sum("notice_sessions_opened_total");
    assert!(opened.abs() < 0.5, "{opened}");
}

#[tokio::test]
async fn a_server_that_was_told_of_no_issuer_takes_no_jwt() {
    let server = Server::start();
    let token = Issuer::hs256().jwt("u2", 3600);
    refused_in_every_way(&server, &token, "no issuer").await;
}

#[tokio::test]
async fn a_session_is_told_before_the_exp_of_its_jwt_and_closed_at_it_with_4401() {
    let server = punctual_server(&[]);
    let token = Issuer::hs256().jwt("u2", 4);
    let mut client = Handshake::v1(&token).open(server.public).await;
    let mut legacy = Handshake::legacy(&token).open(server.public).await;
    let told = client.expect("expiring").await;
    assert!(told["inSeconds"].as_u64().unwrap() <= 4, "{told}");
    assert_eq!(client.closed().await, Some(4401));
    assert_eq!(legacy.text_or_end().await, Err(Some(4401)));
    refused_in_every_way(&server, &token, "exp").await;
}

#[tokio::test]
async fn a_session_that_refreshes_its_jwt_in_time_lives_on() {
    let server = punctual_server(&[
        ("NOTICE_DELIVERY_PING_SECONDS", "3"),
        ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "3"),
    ]);
    let issuer = Issuer::hs256();
    let short = issuer.jwt("u2", 4);
    let mut client = Handshake::v1(&short).open(server.public).await;
    client.expect("expiring").await;
    let exp = Issuer::now() + 3600;
    let long = issuer.jwt_with("u2", &json!({"exp": exp}));
    refresh(&mut client, &long).await;
    let refreshed = client.expect("refreshed").await;
    assert_eq!(refreshed["expireTime"], exp * 1000);
    outlives(&server, &mut client, &short).await;
    is_still_there(&server, &mut client).await;
}

#[tokio::test]
async fn a_refresh_with_a_jwt_that_does_not_fit_is_an_error_and_the_session_stays() {
    let server = server();
    let issuer = Issuer::hs256();
    let mut client = Handshake::v1(&issuer.jwt("u2", 3600))
        .open(server.public)
        .await;
    let revoked = issuer.jwt("u2", 3600);
    server.revoke(&revoked).await;
    let unfit = [
        (issuer.jwt("u3", 3600), "INVALID_ARGUMENT"),
        (
            issuer.jwt_with("u2", &json!({"aud": "other"})),
            "UNAUTHENTICATED",
        ),
        (
            issuer.jwt_with("u2", &json!({"exp": Issuer::now() - 60})),
            "UNAUTHENTICATED",
        ),
        (issuer.jwt_of_bytes("u2", 9 << 10), "UNAUTHENTICATED"),
        (revoked, "UNAUTHENTICATED"),
    ];
    for (token, code) in unfit {
        refresh(&mut client, &token).await;
        let error = client.expect("error").await;
        assert_eq!(error["code"], code, "{error}");
    }
    is_still_there(&server, &mut client).await;
}

#[tokio::test]
async fn a_revoked_jwt_closes_its_live_sessions_and_is_of_no_use_also_after_a_restart() {
    let server = server();
    let issuer = Issuer::hs256();
    let [token, kept] = [issuer.jwt("u2", 3600), issuer.jwt("u2", 3600)];
    let mut v1 = Handshake::v1(&token).open(server.public).await;
    let mut legacy = Handshake::legacy(&token).open(server.public).await;
    let mut other = Handshake::v1(&kept).open(server.public).await;
    server.revoke(&token).await;
    assert_eq!(v1.closed().await, Some(4401));
    assert_eq!(legacy.closed().await, Some(4401));
    refused_in_every_way(&server, &token, "revoked").await;
    is_still_there(&server, &mut other).await;
    server.revoke(&token).await;

    let server = server.restart();
    refused_in_every_way(&server, &token, "revoked before the restart").await;
    Handshake::v1(&kept).open(server.public).await;
}

#[tokio::test]
async fn removing_an_accounts_sessions_with_revoke_ends_their_jwts_too() {
    let server = server();
    let issuer = Issuer::hs256();
    let [token, unused] = [issuer.jwt("u2", 3600), issuer.jwt("u2", 3600)];
    let mut client = Handshake::v1(&token).open(server.public).await;
    let path = "/accounts/u2/sessions?revoke=true";
    server.service_delete(path).await.expect(204);
    assert_eq!(client.closed().await, Some(4403));
    refused_in_every_way(&server, &token, "revoked").await;
    Handshake::v1(&unused).open(server.public).await;
}

#[tokio::test]
async fn tokens_that_are_no_jwts_work_beside_them_and_a_session_may_go_from_one_to_the_other() {
    let server = server();
    let [opaque, jwt] = [server.token("u2").await, Issuer::hs256().jwt("u2", 3600)];
    for (first, second) in [(&opaque, &jwt), (&jwt, &opaque)] {
        let mut client = Handshake::v1(first).open(server.public).await;
        refresh(&mut client, second).await;
        client.expect("refreshed").await;
        is_still_there(&server, &mut client).await;
        client.close().await;
    }
    let mut by_opaque = Handshake::v1(&opaque).open(server.public).await;
    let mut by_jwt = Handshake::v1(&jwt).open(server.public).await;
    refresh(&mut by_opaque, &jwt).await;
    by_opaque.expect("refreshed").await;
    server.revoke(&opaque).await;
    is_still_there(&server, &mut by_opaque).await;
    by_jwt.find("recall").await;
    server.revoke(&jwt).await;
    assert_eq!(by_opaque.closed().await, Some(4401));
    assert_eq!(by_jwt.closed().await, Some(4401));
}

#[tokio::test]
async fn a_jwt_of_6_kib_works_and_one_of_9_kib_is_refused() {
    let server = server();
    let issuer = Issuer::hs256();
    let token = issuer.jwt_of_bytes("u2", 6 << 10);
    for way in ways(&token) {
        way.open(server.public).await;
    }
    let mut client = server.connect("u2").await;
    refresh(&mut client, &token).await;
    client.expect("refreshed").await;
    server.revoke(&token).await;
    assert_eq!(client.closed().await, Some(4401));
    refused_in_every_way(&server, &token, "revoked").await;
    let longer = issuer.jwt_of_bytes("u2", 9 << 10);
    refused_in_every_way(&server, &longer, "9 KiB").await;
}

/// A file with a set of these keys.
fn write_set(folder: &Folder, issuers: &[&Issuer]) -> String {
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.public()).collect();
    let path = folder.path().join("jwks.json");
    // A set that is half written is read as none, and the next look finds it whole.
    let whole = folder.path().join("jwks.new");
    std::fs::write(&whole, json!({"keys": keys}).to_string()).unwrap();
    std::fs::rename(whole, &path).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn the_kid_of_a_jwt_picks_its_key_from_a_file_that_is_read_again_when_it_names_a_new_one() {
    let folder = Folder::new();
    let [one, two] = [Issuer::es256(1).named("one"), Issuer::es256(2).named("two")];
    let three = Issuer::rs256().named("three");
    let path = write_set(&folder, &[&one, &two]);
    let [issuer, audience, ..] = Issuer::settings();
    let server = Server::with(&[
        issuer,
        audience,
        ("NOTICE_JWT_ALGORITHMS", "ES256,RS256"),
        ("NOTICE_JWT_JWKS_FILE", &path),
    ]);
    for issuer in [&one, &two, &Issuer::es256(2)] {
        let token = issuer.jwt("u2", 3600);
        let mut client = Handshake::v1(&token).open(server.public).await;
        is_still_there(&server, &mut client).await;
        server.revoke(&token).await;
        assert_eq!(client.closed().await, Some(4401));
        refused_in_every_way(&server, &token, "revoked").await;
    }
    let strangers = [
        ("a key under another's name", Issuer::es256(1).named("two")),
        ("a key that is in no set", Issuer::es256(3).named("one")),
        ("the same without a name", Issuer::es256(3)),
        ("another algorithm", Issuer::hs256().named("one")),
    ];
    for (why, stranger) in strangers {
        refused_in_every_way(&server, &stranger.jwt("u2", 3600), why).await;
    }

    let mut client = Handshake::v1(&one.jwt("u2", 3600))
        .open(server.public)
        .await;
    write_set(&folder, &[&two, &three]);
    let new = three.jwt("u2", 3600);
    eventually("the new key", async || {
        let answer = server.client_get(&new, "/session").await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    refused_in_every_way(&server, &one.jwt("u2", 3600), "a key that is gone").await;
    Handshake::v1(&two.jwt("u2", 3600))
        .open(server.public)
        .await;
    // What was proved when it came in stays so.
    is_still_there(&server, &mut client).await;
}

#[tokio::test]
async fn no_jwt_and_no_key_of_the_issuer_is_logged_at_any_level() {
    let folder = Folder::new();
    let settings = [&Issuer::settings()[..], &[("NOTICE_LOG", "trace")]].concat();
    let server = Program::start(&folder, &settings).await;
    let issuer = Issuer::hs256();
    let [good, newer, revoked] = [(); 3].map(|()| issuer.jwt("u2", 3600));
    let expired = issuer.jwt_with("u2", &json!({"exp": Issuer::now() - 60}));
    let foreign = Issuer::with_secret(Algorithm::HS256, KEY).jwt("u2", 3600);
    let long = issuer.jwt_of_bytes("u2", 9 << 10);
    let all = [&good, &newer, &revoked, &expired, &foreign, &long];
    server.revoke(&revoked).await;
    for token in all {
        show_in_every_way(&server, token).await;
    }
    let mut client = Handshake::v1(&good).open(server.public).await;
    for token in [&revoked, &expired, &foreign, &long] {
        refresh(&mut client, token).await;
        client.find("error").await;
    }
    refresh(&mut client, &newer).await;
    client.find("refreshed").await;
    for token in all {
        server.revoke(token).await;
    }
    assert_eq!(client.closed().await, Some(4401));
    server.terminate();

    let exit = server.exit().await;
    let logged = exit.output.contains("session opened");
    assert!(logged, "nothing was logged:\n{}", exit.output);
    let encoded = all.map(|token| URL_SAFE_NO_PAD.encode(token));
    // Also not the signature or the claims alone.
    let parts = all.iter().flat_map(|token| token.split('.').skip(1));
    let secrets = parts.chain(encoded.iter().map(String::as_str));
    for secret in secrets.chain([Issuer::secret(), KEY]) {
        let line = exit.output.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was logged");
    }
}

async fn show_in_every_way(server: &Program, token: &str) {
    for way in ways(token) {
        if let Ok(socket) = way.try_open(server.public).await {
            socket.close().await;
        }
    }
    server.client_get(token, "/session").await;
    let in_query = format!("/notice/inbox?SESSION_TOKEN_KEY={token}&limit=bad");
    Request::get(in_query).send(server.public).await;
    // A client is no service.
    Request::get("/notice/accounts")
        .bearer(token)
        .send(server.public)
        .await
        .expect(401);
}
