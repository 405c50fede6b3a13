//! Every operation of the document, by everybody who may not: no key, a bad one, one without the scope, another tenant's.
//!
//! The cells are made of the document. What is new in it is tested without a line here; a path parameter that the table of
//! `owned.rs` cannot fill fails by its name.

mod owned;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_openapi::tenant::Scope;

use crate::document::operations;
use crate::issuer::{Issuer, claims, now};
use crate::server::{Answer, Server};
use owned::{IDEMPOTENCY_KEY, Life, Owned, SECRET, key, send, tenant};

/// Operations that anybody may call.
const PUBLIC: [&str; 2] = ["/healthz/live", "/healthz/ready"];

/// An operation that needs a key: path, method, the scope that its `security` names, the body to send.
#[derive(Clone)]
struct Guarded {
    path: String,
    method: String,
    scope: Scope,
    body: Option<Value>,
    /// It is a list with a cursor.
    paged: bool,
}

fn guarded() -> Vec<Guarded> {
    let mut all = Vec::new();
    for (path, method, operation) in operations() {
        let name = format!("{method} {path}");
        if PUBLIC.contains(&path.as_str()) {
            assert_eq!(operation["security"], json!([{}]), "{name} is not public in the document");
            continue;
        }
        let scopes = operation["security"][0]["bearer"].as_array();
        let scopes = scopes.unwrap_or_else(|| panic!("{name} names no scope"));
        assert_eq!(scopes.len(), 1, "{name}");
        let word = scopes[0].as_str().unwrap();
        let scope =
            Scope::of(word).unwrap_or_else(|| panic!("{name}: no scope is called '{word}'"));
        let body = &operation["requestBody"]["content"]["application/json"]["example"];
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let paged = parameters.into_iter().any(|p| p["name"] == "after" && p["in"] == "query");
        all.push(Guarded {
            path,
            method,
            scope,
            body: (!body.is_null()).then(|| body.clone()),
            paged,
        });
    }
    all
}

/// Nothing of A's in the answer but what the request itself said.
fn no_leak(owned: &Owned, answer: &Answer, sent: &str, name: &str) {
    let text = format!("{} {:?}", answer.body, answer.headers);
    for secret in owned.secrets.iter().filter(|secret| !sent.contains(secret.as_str())) {
        assert!(!text.contains(secret.as_str()), "{name}: the answer holds {secret}: {text}");
    }
    assert!(sent.contains(SECRET) || !text.contains(SECRET), "{name}: {text}");
}

/// The same answer but for the id that was asked for.
fn alike(mine: (&Answer, &str), none: (&Answer, &str), name: &str) {
    // Some messages show the first characters of a long name.
    let plain = |answer: &Answer, id: &str| answer.body.to_string().replace(id, "ID");
    assert_eq!(mine.0.status, none.0.status, "{name}: {} and {}", mine.0.body, none.0.body);
    assert_eq!(plain(mine.0, mine.1), plain(none.0, none.1), "{name}");
}

/// The part in which two texts differ, of each.
fn difference<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let start = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let start = a[..start].rfind('/').map_or(0, |at| at + 1);
    let part = |text: &'a str| text[start..].split('/').next().unwrap_or_default();
    (part(a), part(b))
}

#[actix_web::test]
async fn no_key_and_bad_keys_reach_nothing() {
    let issuer = Issuer::new();
    let server = issuer.server(true).await;
    let owned = Owned::new(&server).await;
    let before = owned.everything(&server).await;
    let own_tenant = owned.pairs("tenant_id")[0].0.parse().unwrap();
    let all: Vec<Scope> = Scope::TENANT.into_iter().chain([Scope::Admin]).collect();
    let (_, revoked) = key(&server, &own_tenant, &all, Life::Revoked).await;
    let (_, expired) = key(&server, &own_tenant, &all, Life::Expired).await;
    let everything = all.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
    let mut claims = claims(&owned.pairs("tenant_id")[0].0, &everything);
    claims["exp"] = json!(now() - 61);
    let token = issuer.signed(&json!({"alg": "ES256", "kid": "ec-1"}), &claims);
    let mut cells = 0;
    for Guarded { path, method, body, .. } in guarded() {
        for (url, _) in owned.urls(&path) {
            for (who, key) in [
                ("no key", None),
                ("revoked", Some(&revoked)),
                ("expired", Some(&expired)),
                ("an expired token", Some(&token)),
            ] {
                let name = format!("{method} {url} with {who}");
                let answer =
                    send(&server, key.map(String::as_str), &method, &url, body.as_ref()).await;
                answer.refused(401, "invalid_api_key", None);
                no_leak(&owned, &answer, "", &name);
                cells += 1;
            }
        }
    }
    assert!(cells >= 4 * 29, "{cells} cells");
    assert_eq!(owned.everything(&server).await, before, "something of A's changed");
}

#[actix_web::test]
async fn a_key_without_the_scope_is_refused_and_the_scope_alone_is_enough() {
    let server = Server::start().await;
    let owned = Owned::new(&server).await;
    let before = owned.everything(&server).await;
    let own_tenant = owned.pairs("tenant_id")[0].0.parse().unwrap();
    // The scope alone is tried by a tenant that has nothing, on what is not there.
    let empty = tenant(&server, "empty").await;
    for Guarded { path, method, scope, body, .. } in guarded() {
        let others: Vec<Scope> =
            Scope::TENANT.into_iter().filter(|other| *other != scope).collect();
        let (_, without) = key(&server, &own_tenant, &others, Life::Live).await;
        let (_, alone) = key(&server, &empty, &[scope], Life::Live).await;
        for (mine, none) in owned.urls(&path) {
            let name = format!("{method} {mine} without {}", scope.as_str());
            let answer = send(&server, Some(&without), &method, &mine, body.as_ref()).await;
            answer.refused(403, "insufficient_scope", None);
            // The key is A's own: the answer names its organization in a header.
            no_leak(&owned, &answer, &owned.pairs("tenant_id")[0].0, &name);
            let answer = send(&server, Some(&alone), &method, &none, body.as_ref()).await;
            let name = format!("{method} {none} with {} alone", scope.as_str());
            assert!(
                !matches!(answer.status, 401 | 403 | 500..),
                "{name}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    assert_eq!(owned.everything(&server).await, before, "something of A's changed");
}

#[actix_web::test]
async fn another_tenant_learns_nothing_and_changes_nothing() {
    let issuer = Issuer::new();
    let server = issuer.server(true).await;
    let owned = Owned::new(&server).await;
    let before = owned.everything(&server).await;
    let stranger = tenant(&server, "stranger").await;
    let (_, key) = key(&server, &stranger, &Scope::TENANT, Life::Live).await;
    let scopes = Scope::TENANT.map(Scope::as_str).join(" ");
    let token = issuer.token(stranger.as_str(), &scopes);
    let mut foreign = 0;
    let cells = guarded().into_iter().flat_map(|cell| [(cell.clone(), &key), (cell, &token)]);
    for (Guarded { path, method, scope, body, paged }, key) in cells {
        for (mine, none) in owned.urls(&path) {
            let name = format!("{method} {mine} by a stranger");
            let ask = async |url: &str| send(&server, Some(key), &method, url, body.as_ref()).await;
            let (answer, nothing) = (ask(&mine).await, ask(&none).await);
            no_leak(&owned, &answer, &mine, &name);
            if scope == Scope::Admin {
                answer.refused(403, "insufficient_scope", None);
                continue;
            }
            assert!(answer.status < 500, "{name}: {}", answer.body);
            if path.contains('{') {
                assert_eq!(answer.status, 404, "{name}: {}", answer.body);
                let (a, b) = difference(&mine, &none);
                alike((&answer, a), (&nothing, b), &name);
                foreign += 1;
            } else if method == "get" && answer.body["object"] == "list" {
                assert_eq!(answer.status, 200, "{name}: {}", answer.body);
            }
            if paged && !path.contains('{') {
                for (cursor, nobody) in owned.cursors() {
                    let url = |after: &str| format!("{mine}?after={after}");
                    let (answer, nothing) = (ask(&url(&cursor)).await, ask(&url(&nobody)).await);
                    let name = format!("{method} {}", url(&cursor));
                    no_leak(&owned, &answer, &cursor, &name);
                    alike((&answer, &cursor), (&nothing, &nobody), &name);
                    assert_eq!(answer.status, 400, "{name}: {}", answer.body);
                }
            }
        }
    }
    assert!(foreign >= 40, "{foreign} foreign ids");
    assert_eq!(owned.everything(&server).await, before, "something of A's changed");
}

#[actix_web::test]
async fn ids_inside_bodies_and_idempotency_keys_are_foreign_too() {
    let server = Server::start().await;
    let owned = Owned::new(&server).await;
    let before = owned.everything(&server).await;
    let stranger = tenant(&server, "stranger").await;
    let (_, key) = key(&server, &stranger, &Scope::TENANT, Life::Live).await;
    let form = "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\nContent-Disposition: form-data; \
                name=\"file\"; filename=\"b.jsonl\"\r\n\r\n{\"text\": \"b\"}\r\n--XX--\r\n";
    let request = server.http.post(format!("{}/v1/files", server.url)).bearer_auth(&key);
    let request = request.header("content-type", "multipart/form-data; boundary=XX").body(form);
    let own =
        Answer::of(request.send().await.unwrap()).await.body["id"].as_str().unwrap().to_string();
    let create = async |field: &str, value: &str| {
        let mut body = json!({"model": "tiny", "training_file": own});
        body[field] = json!(value);
        send(&server, Some(&key), "post", "/v1/fine_tuning/jobs", Some(&body)).await
    };
    let files = owned.pairs("file_id").iter();
    let in_fields = ["training_file", "validation_file"];
    let cells = files.flat_map(|pair| in_fields.map(|field| (field, pair)));
    let models = owned.pairs("model").iter().map(|pair| ("model", pair));
    let mut refused = 0;
    for (field, (mine, none)) in cells.chain(models) {
        let (answer, nothing) = (create(field, mine).await, create(field, none).await);
        let name = format!("{field} {mine}");
        assert!((400..500).contains(&answer.status), "{name}: {}", answer.body);
        no_leak(&owned, &answer, mine, &name);
        alike((&answer, mine), (&nothing, none), &name);
        refused += 1;
    }
    assert_eq!(refused, 6);
    // The same idempotency key is another one in another tenant's hands.
    for seed in [1, 2] {
        let request =
            server.http.request(Method::POST, format!("{}/v1/fine_tuning/jobs", server.url));
        let request = request
            .bearer_auth(&key)
            .header("idempotency-key", format!("{IDEMPOTENCY_KEY}-{seed}"));
        let body = json!({"model": "tiny", "training_file": own, "seed": seed});
        let answer = Answer::of(request.json(&body).send().await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.body["training_file"].as_str()),
            (200, Some(own.as_str()))
        );
        no_leak(&owned, &answer, "", "an idempotency key of A's");
    }
    assert_eq!(owned.everything(&server).await, before, "something of A's changed");
}
