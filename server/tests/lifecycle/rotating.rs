//! Credentials in files that change while the server runs: no restart, no socket closed, and what was taken out opens
//! nothing any more within the 10 s that are promised.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Api, Folder, Handshake, Issuer, Program, Request, Response, eventually};

const OLD: &str = "old-only-for-tests-0123456789";
const NEW: &str = "new-only-for-tests-0123456789";

/// From the change of a file until it counts.
const PROMISED: Duration = Duration::from_secs(10);

const REFUSED: &str = "notice_credential_file_refused";
const RELOADS: &str = "notice_credential_reloads_total";

/// A file as Kubernetes keeps it: a link to what it is now, swapped in one step.
struct Mounted {
    folder: Folder,
    path: PathBuf,
    versions: u32,
}

impl Mounted {
    fn new(text: &str) -> Self {
        let folder = Folder::new();
        let path = folder.path().join("mounted");
        let mut mounted = Self {
            folder,
            path,
            versions: 0,
        };
        mounted.becomes(text);
        mounted
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn becomes(&mut self, text: &str) {
        self.versions += 1;
        let version = self.folder.path().join(self.versions.to_string());
        fs::write(&version, text).unwrap();
        let link = self.folder.path().join("next");
        std::os::unix::fs::symlink(&version, &link).unwrap();
        fs::rename(&link, &self.path).unwrap();
    }
}

async fn start(folder: &Folder, settings: &[(&str, &str)]) -> Program {
    let no_key = [("NOTICE_API_KEYS", "")];
    Program::start(folder, &[&no_key, settings].concat()).await
}

async fn stage_with(server: &Api, key: &str, body: &Value) -> Response {
    let request = Request::post("/notice/notices", body).bearer(key);
    request.send(server.public).await
}

/// Waits until a call that gets nothing else than 401 or an answer gets this one, and no longer than is promised.
async fn within_what_is_promised(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let changed = Instant::now();
    eventually(what, async || {
        if look().await {
            Ok(())
        } else {
            Err(changed.elapsed())
        }
    })
    .await;
    let took = changed.elapsed();
    println!("{what}: after {took:?}");
    assert!(took < PROMISED, "{what}: after {took:?}");
}

fn shows_no_secret(server: &Program, files: &[&str]) {
    let log = server.output();
    for secret in files {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn an_api_key_is_rotated_without_a_restart_and_live_sessions_notice_nothing() {
    let mut keys = Mounted::new(&format!("orders:{OLD}\n"));
    let server = start(&Folder::new(), &[("NOTICE_API_KEYS_FILE", keys.path())]).await;
    let account = json!({"accountId": "u2"});
    let issue = Request::post("/notice/sessions", &account).bearer(OLD);
    let token = issue.send(server.public).await.expect(201).json()["token"].clone();
    let mut client = Handshake::v1(token.as_str().unwrap())
        .open(server.public)
        .await;
    let body = json!({"receiverId": "u2", "message": "once", "idempotencyKey": "k"});
    let id = stage_with(&server, OLD, &body).await.expect(201).json()["id"].clone();
    assert_eq!(client.notice().await.id, id);

    // Both for a while: the new one is of the same producer, whose keys stay what they were.
    keys.becomes(&format!("orders:{OLD}\norders:{NEW}\n"));
    within_what_is_promised("the new key", async || {
        stage_with(&server, NEW, &body).await.status == 200
    })
    .await;
    let again = stage_with(&server, NEW, &body).await.expect(200).json();
    assert_eq!(again, json!({"id": id, "duplicate": true}));
    stage_with(&server, OLD, &body).await.expect(200);

    keys.becomes(&format!("orders:{NEW}\n"));
    within_what_is_promised("the end of the old key", async || {
        stage_with(&server, OLD, &body).await.status == 401
    })
    .await;
    let body = json!({"receiverId": "u2", "message": "still there?"});
    stage_with(&server, NEW, &body).await.expect(201);
    assert_eq!(client.notice().await.message, "still there?");
    let applied = format!("{RELOADS}{{file=\"api_keys\",result=\"applied\"}}");
    server.reaches_metric(&applied, 2.0).await;
    shows_no_secret(&server, &[OLD, NEW]);
}

#[tokio::test]
async fn a_file_that_breaks_leaves_the_keys_before_in_force_and_says_so() {
    let mut keys = Mounted::new(OLD);
    let server = start(&Folder::new(), &[("NOTICE_API_KEYS_FILE", keys.path())]).await;
    let refused = format!("{REFUSED}{{file=\"api_keys\"}}");
    let body = json!({"receiverId": "u2", "message": "m"});
    for broken in ["", "two words-that-nobody-may-see"] {
        keys.becomes(broken);
        server.reaches_metric(&refused, 1.0).await;
        stage_with(&server, OLD, &body).await.expect(201);
        keys.becomes(OLD);
        server.reaches_metric(&refused, 0.0).await;
    }
    fs::remove_file(keys.path()).unwrap();
    server.reaches_metric(&refused, 1.0).await;
    stage_with(&server, OLD, &body).await.expect(201);
    keys.becomes(NEW);
    server.reaches_metric(&refused, 0.0).await;
    stage_with(&server, NEW, &body).await.expect(201);
    stage_with(&server, OLD, &body).await.expect(401);
    let count = format!("{RELOADS}{{file=\"api_keys\",result=\"refused\"}}");
    server.reaches_metric(&count, 3.0).await;
    let log = server.output();
    assert!(
        log.contains("auth.api_keys_file") && log.contains("those before stay in force"),
        "{log}"
    );
    shows_no_secret(&server, &[OLD, NEW, "nobody-may-see"]);
}

/// A server that takes JWTs by what a file holds.
async fn taking_jwts(algorithm: &str, variable: &str, file: &Path) -> Program {
    let file = file.to_str().unwrap();
    let settings: Vec<_> = Issuer::settings()
        .into_iter()
        .filter(|(name, _)| *name != "NOTICE_JWT_KEY")
        .chain([("NOTICE_JWT_ALGORITHMS", algorithm), (variable, file)])
        .collect();
    Program::start(&Folder::new(), &settings).await
}

async fn answer_to(server: &Api, jwt: &str) -> u16 {
    server.client_get(jwt, "/session").await.status
}

#[tokio::test]
async fn another_secret_of_jwts_counts_and_who_came_in_by_the_one_before_stays() {
    let mut file = Mounted::new(&format!("{}\n", Issuer::secret()));
    let server = taking_jwts("HS256", "NOTICE_JWT_KEY_FILE", &file.path).await;
    let other = "another-one-only-for-tests-0123456789";
    let [before, after] = [
        Issuer::hs256(),
        Issuer::with_secret(jsonwebtoken::Algorithm::HS256, other),
    ]
    .map(|issuer| issuer.jwt("u2", 3600));
    let mut client = Handshake::v1(&before).open(server.public).await;
    assert_eq!(answer_to(&server, &after).await, 401);
    file.becomes("too short");
    let refused = format!("{REFUSED}{{file=\"jwt_key\"}}");
    server.reaches_metric(&refused, 1.0).await;
    assert_eq!(answer_to(&server, &before).await, 200);

    file.becomes(other);
    within_what_is_promised("the end of the old secret", async || {
        answer_to(&server, &before).await == 401
    })
    .await;
    assert_eq!(answer_to(&server, &after).await, 200);
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
    client.ack(&[&id]).await;
    server.reaches_state(&id, "read").await;
    shows_no_secret(&server, &[Issuer::secret(), other]);
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_a_set_opens_nothing_any_more() {
    let issuers = [1, 2].map(|number| Issuer::es256(number).named(&format!("key-{number}")));
    let set = |issuers: &[Issuer]| {
        let keys: Vec<_> = issuers.iter().map(Issuer::public).collect();
        json!({"keys": keys}).to_string()
    };
    let mut file = Mounted::new(&set(&issuers[..1]));
    let server = taking_jwts("ES256", "NOTICE_JWT_JWKS_FILE", &file.path).await;
    let [old, new] = [0, 1].map(|place: usize| issuers[place].jwt("u2", 3600));
    let mut client = Handshake::v1(&old).open(server.public).await;
    file.becomes(&set(&issuers));
    within_what_is_promised("the new key of the set", async || {
        answer_to(&server, &new).await == 200
    })
    .await;
    assert_eq!(answer_to(&server, &old).await, 200);
    file.becomes(&set(&issuers[1..]));
    within_what_is_promised("the end of the old key of the set", async || {
        answer_to(&server, &old).await == 401
    })
    .await;
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
}
