//! `notice-operator check URL`: whether a probe of an operator or a server answers well. The images have no other program
//! that could ask, and `helm test` wants to. It only asks; what the answer means is the probe's matter.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The pause before it is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How much of an answer is shown.
const SHOWN: usize = 4096;

/// Why the probe does not do.
#[derive(Debug, thiserror::Error)]
pub enum Unwell {
    /// Nothing that can be asked.
    #[error(
        "'{0}' is no address to ask: give one such as http://notice-operator-metrics:8080/readyz"
    )]
    Address(String),
    /// Nobody is there, or the name is unknown.
    #[error("{0} can't be reached: {1}")]
    Unreachable(Uri, String),
    /// Somebody is there and says nothing.
    #[error("{0} does not answer within {limit} s", limit = ANSWER.as_secs())]
    Silent(Uri),
    /// It says that it is not well.
    #[error("{0} answers {1}: {2}")]
    Answer(Uri, StatusCode, String),
}

/// Asks until the answer is good, or for so long; then the last answer counts.
///
/// # Errors
/// [`Unwell`], as it was the last time.
pub async fn check(url: &str, within: Duration) -> Result<String, Unwell> {
    let uri = address(url)?;
    let end = Instant::now() + within;
    loop {
        let answer = ask(&uri).await;
        if answer.is_ok() || Instant::now() + PAUSE > end {
            return answer;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn address(url: &str) -> Result<Uri, Unwell> {
    let uri: Option<Uri> = url.parse().ok();
    uri.filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
        .ok_or_else(|| Unwell::Address(url.to_owned()))
}

async fn ask(uri: &Uri) -> Result<String, Unwell> {
    let answered = tokio::time::timeout(ANSWER, answer(uri)).await;
    let (status, text) = answered.map_err(|_| Unwell::Silent(uri.clone()))??;
    if status == StatusCode::OK {
        Ok(text)
    } else {
        Err(Unwell::Answer(uri.clone(), status, text))
    }
}

async fn answer(uri: &Uri) -> Result<(StatusCode, String), Unwell> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client.get(uri.clone()).await;
    let response = response.map_err(|error| Unwell::Unreachable(uri.clone(), reason(&error)))?;
    let status = response.status();
    // Of an answer that is too long, or breaks off, the status says enough.
    let body = Limited::new(response.into_body(), SHOWN).collect().await;
    let text = body.map(|it| String::from_utf8_lossy(&it.to_bytes()).trim().to_owned());
    Ok((status, text.unwrap_or_default()))
}

/// The innermost cause: what is around it says no more than that there was an error.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Gives each of the answers once, to one connection each, and the last one ever after.
    async fn probe(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut next = answers.iter().peekable();
            while let Ok((mut socket, _)) = listener.accept().await {
                let answer = if answers.len() > 1 && next.len() > 1 {
                    next.next()
                } else {
                    next.peek().copied()
                };
                let _read = socket.read(&mut [0; 1024]).await;
                let _written = socket.write_all(answer.unwrap().as_bytes()).await;
            }
        });
        url
    }

    const WELL: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nok\n";
    const NOT_YET: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 10\r\n\r\nnot synced";

    #[tokio::test]
    async fn a_probe_that_is_well_is_told_with_its_words() {
        let url = probe(&[WELL]).await;
        assert_eq!(check(&url, Duration::ZERO).await.unwrap(), "ok");
    }

    #[tokio::test]
    async fn one_that_is_not_yet_well_is_asked_again() {
        let url = probe(&[NOT_YET, WELL]).await;
        assert_eq!(check(&url, Duration::from_secs(30)).await.unwrap(), "ok");
    }

    #[tokio::test]
    async fn one_that_stays_unwell_is_told_with_status_and_words() {
        let url = probe(&[NOT_YET]).await;
        let error = check(&url, Duration::ZERO).await.unwrap_err().to_string();
        assert!(
            error.contains("503") && error.contains("not sync"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn where_nobody_listens_the_reason_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        drop(listener);
        let error = check(&url, Duration::ZERO).await.unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        for url in ["", "notice:8080", "https://a/readyz", "/readyz", "ftp://a"] {
            let error = check(url, Duration::ZERO).await.unwrap_err();
            assert!(matches!(error, Unwell::Address(_)), "{url}: {error}");
        }
    }
}
