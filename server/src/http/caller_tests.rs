use warp::http::HeaderValue;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn token(pairs: &[(&'static str, &str)], query: &str) -> Result<String, Code> {
    session_token(
        &headers(pairs),
        query,
        &["https://app.example.com".to_owned()],
    )
    .map_err(|problem| problem.code)
}

#[test]
fn the_first_way_to_carry_a_token_decides() {
    let all = [
        ("authorization", "Bearer header"),
        ("sec-websocket-protocol", "notice.v1, token.aXRlbQ"),
        ("cookie", "a=b; SESSION_TOKEN_KEY=cookie"),
    ];
    let query = "x=1&SESSION_TOKEN_KEY=qu%2Bery";
    assert_eq!(token(&all, query).unwrap(), "header");
    assert_eq!(token(&all[1..], query).unwrap(), "item");
    assert_eq!(token(&all[2..], query).unwrap(), "qu+ery");
    assert_eq!(token(&all[2..], "").unwrap(), "cookie");
    assert_eq!(token(&[], ""), Err(Code::Unauthenticated));
}

#[test]
fn a_token_item_counts_only_beside_our_subprotocol() {
    assert_eq!(
        token(&[("sec-websocket-protocol", "token.aXRlbQ")], ""),
        Err(Code::Unauthenticated)
    );
    let split = [
        ("sec-websocket-protocol", "token.aXRlbQ=="),
        ("sec-websocket-protocol", "notice.v1"),
    ];
    assert_eq!(token(&split, "").unwrap(), "item");
    assert_eq!(
        token(&[("sec-websocket-protocol", "notice.v1, token.$$$")], ""),
        Err(Code::Unauthenticated)
    );
}

#[test]
fn a_cookie_counts_only_from_pages_that_may_use_it() {
    let cookie = ("cookie", "SESSION_TOKEN_KEY=c");
    let host = ("host", "im.example.com");
    for good in [
        ("origin", "https://im.example.com"),
        ("origin", "https://IM.example.com:443"),
        ("origin", "https://app.example.com"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(
            token(&[cookie, host, good], "").as_deref(),
            Ok("c"),
            "{good:?}"
        );
    }
    for bad in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "https://im.example.com.evil.example"),
        ("origin", "https://im.example.com:8443"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(
            token(&[cookie, host, bad], ""),
            Err(Code::OriginNotAllowed),
            "{bad:?}"
        );
        assert_eq!(
            token(&[cookie, host, bad], "SESSION_TOKEN_KEY=q").as_deref(),
            Ok("q"),
            "{bad:?}"
        );
    }
}

#[test]
fn forwarded_addresses_are_believed_only_from_trusted_proxies() {
    let trusted = |address: IpAddr| address.to_string().starts_with("10.");
    let forwarded = headers(&[
        ("x-forwarded-for", "6.6.6.6, 198.51.100.7"),
        ("x-forwarded-for", "10.0.0.2"),
    ]);
    let from = |peer: &str, headers: &HeaderMap| {
        client_address(peer.parse().unwrap(), headers, trusted).to_string()
    };
    assert_eq!(from("203.0.113.9", &forwarded), "203.0.113.9");
    assert_eq!(from("10.0.0.1", &forwarded), "198.51.100.7");
    assert_eq!(from("10.0.0.1", &headers(&[])), "10.0.0.1");
    assert_eq!(
        from("10.0.0.1", &headers(&[("x-real-ip", "198.51.100.8")])),
        "198.51.100.8"
    );
    assert_eq!(
        from(
            "10.0.0.1",
            &headers(&[("x-forwarded-for", "junk, 10.0.0.3")])
        ),
        "10.0.0.3"
    );
    assert_eq!(
        from(
            "10.0.0.1",
            &headers(&[("x-forwarded-for", "[2001:db8::1]:443")])
        ),
        "2001:db8::1"
    );
}
