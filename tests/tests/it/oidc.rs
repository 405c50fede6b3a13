//! Tokens of an OpenID Connect issuer at the real server: its key set in a file and behind an address.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::text;
use trainyard_tests::{Api, Server, data, process};

const ISSUER: &str = "https://issuer.example.org";

/// A key of the issuer.
struct Key(&'static str, EcdsaKeyPair);

impl Key {
    fn new(id: &'static str) -> Self {
        Self(id, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn set(&self) -> String {
        // 4, then both coordinates (SEC 1, 2.3.3).
        let (x, y) = self.1.public_key().as_ref()[1..].split_at(32);
        let key =
            json!({"kty": "EC", "kid": self.0, "crv": "P-256", "x": base64(x), "y": base64(y)});
        json!({"keys": [key]}).to_string()
    }

    #[expect(clippy::disallowed_methods, reason = "tokens are of today")]
    fn token(&self, tenant: &str, scope: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = json!({"alg": "ES256", "kid": self.0});
        let claims = json!({"iss": ISSUER, "aud": "trainyard", "sub": "alice", "exp": now + 3600,
                            "org": tenant, "scope": scope});
        let text = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = self.1.sign(&SystemRandom::new(), text.as_bytes()).expect("signed");
        format!("{text}.{}", base64(signature.as_ref()))
    }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Flags of an issuer whose tokens name their tenant in `org`.
fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let issuer = ["--oidc-issuer", ISSUER, "--oidc-audience", "trainyard"];
    [&issuer[..], &["--oidc-tenant-claim", "org"], more].concat()
}

async fn tenant(server: &Server) -> String {
    text(&server.api().get("/v1/admin/tenants").await, "/data/0/id")
}

async fn status(server: &Server, token: &str, path: &str) -> (u16, Value) {
    Api::new(&server.url(), token).call(Method::GET, path, None).await
}

#[tokio::test]
async fn tokens_work_with_a_key_set_in_a_file_that_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = (Key::new("one"), Key::new("two"));
    data::file(directory.path(), "keys.json", first.set());
    let server = Server::start_with(directory.path(), &flags(&["--oidc-jwks-file", "keys.json"]));
    let tenant = tenant(&server).await;
    let all = "openid files.read files.write jobs.read jobs.write";
    let token = first.token(&tenant, all);
    let api = Api::new(&server.url(), &token);
    let file = api.file("train.jsonl", data::chat(8)).await;
    assert_eq!(server.cli(&["files", "get", &file, "--api-key", &token]).code, 0);
    let log = server.api().get(&format!("/v1/admin/tenants/{tenant}/audit")).await;
    let entries = log["data"].as_array().expect("a list");
    let created = entries.iter().find(|entry| entry["action"] == "file.created");
    assert_eq!(created.map(|entry| text(entry, "/actor")).as_deref(), Some("token:alice"), "{log}");
    assert!(!server.log().contains(&token), "the log holds the token");
    let (code, body) = status(&server, &first.token(&tenant, "files.read"), "/v1/models").await;
    assert_eq!((code, text(&body, "/error/code").as_str()), (403, "insufficient_scope"), "{body}");
    let nobody = format!("org-{}", "0".repeat(24));
    let (code, body) = status(&server, &first.token(&nobody, all), "/v1/files").await;
    assert!(code == 401 && !body.to_string().contains(&nobody), "{body}");

    // The issuer takes a new key; the first token that it signs has the file read again.
    data::file(directory.path(), "keys.json", second.set());
    assert_eq!(status(&server, &second.token(&tenant, all), "/v1/files").await.0, 200);
    assert_eq!(status(&server, &token, "/v1/files").await.0, 401, "the old key was withdrawn");
}

/// Serves one answer to every request of a loopback address; gives its URL and the number of requests so far.
fn serve(answer: Arc<Mutex<String>>) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicU32::new(0));
    let counted = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (mut head, mut piece) = (Vec::new(), [0; 1024]);
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = answer.lock().expect("the answer").clone();
            // Who has read enough hangs up.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, requests)
}

fn answer(head: &str, body: &str) -> Arc<Mutex<String>> {
    let length = body.len();
    Arc::new(Mutex::new(format!(
        "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )))
}

#[tokio::test]
async fn a_key_set_behind_an_address_is_fetched_once_and_never_elsewhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = Key::new("one");
    let (good, fetches) = serve(answer("200 OK", &key.set()));
    let server = Server::start_with(directory.path(), &flags(&["--oidc-jwks-url", &good]));
    let tenant = tenant(&server).await;
    let token = key.token(&tenant, "files.read");
    for _ in 0..20 {
        assert_eq!(status(&server, &token, "/v1/files").await.0, 200);
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1, "at the start");
    let unknown = Key::new("../../two").token(&tenant, "files.read");
    for _ in 0..20 {
        assert_eq!(status(&server, &unknown, "/v1/files").await.0, 401);
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "once more for all unknown ids of this minute");
    drop(server);

    // An address that sends on, and one that never ends: the server starts, and cannot tell of any token.
    let endless = "x".repeat(4 << 20);
    for bad in [answer(&format!("302 Found\r\nlocation: {good}"), ""), answer("200 OK", &endless)] {
        let directory = tempfile::tempdir().expect("a directory");
        let (bad, _) = serve(bad);
        let server = Server::start_with(directory.path(), &flags(&["--oidc-jwks-url", &bad]));
        let (code, body) = status(&server, &token, "/v1/files").await;
        assert_eq!(code, 503, "{body}");
        assert_eq!(server.api().call(Method::GET, "/v1/files", None).await.0, 200, "keys work");
        assert!(server.log().contains("keys could not be fetched"), "{}", server.log());
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "no redirect was followed");
}

#[test]
fn settings_that_would_weaken_tokens_are_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let serve = |more: &[&str]| {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"], &flags(more)[..]];
        process::trainyard(directory.path(), &args.concat())
    };
    for (more, why) in [
        (&["--oidc-jwks-file", "k", "--oidc-algorithms", "HS256"][..], "shared secret"),
        (&["--oidc-jwks-file", "k", "--oidc-algorithms", "RS256,none"], "not signed"),
        (&["--oidc-jwks-url", "http://issuer.example.org/keys"], "https://"),
        (&[], "oidc_jwks_url"),
    ] {
        let said = serve(more);
        assert!(said.code == 2 && said.stderr.contains(why), "{more:?}: {said:?}");
    }
    let said = serve(&["--oidc-jwks-file", "nowhere.json"]);
    assert!(said.code == 1 && said.stderr.contains("nowhere.json"), "{said:?}");
    let help = process::trainyard(directory.path(), &["serve", "--help"]).stdout;
    for setting in ["--oidc-issuer", "TRAINYARD_OIDC_JWKS_FILE", "RS256,ES256", "--oidc-admin"] {
        assert!(help.contains(setting), "{setting}: {help}");
    }
}
