//! Tokens of an OpenID Connect issuer: good ones, and every kind of bad one.

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_api::{ApiOptions, LimitSettings, Limits};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, base64, claims, now};
use crate::server::{Answer, Server};

const ALL: &str = "files.read files.write jobs.read jobs.write models.read";

async fn get(server: &Server, token: &str, path: &str) -> Answer {
    let request = server.http.get(format!("{}{path}", server.url)).bearer_auth(token);
    Answer::of(request.send().await.unwrap()).await
}

#[actix_web::test]
async fn both_kinds_of_tokens_act_for_their_tenant_beside_its_keys() {
    let issuer = Issuer::new();
    let server = issuer.server(false).await;
    let job = server.job().await;
    for token in [issuer.token(&server.tenant, ALL), issuer.rsa_token(&server.tenant, ALL)] {
        let jobs = get(&server, &token, "/v1/fine_tuning/jobs").await;
        assert_eq!((jobs.status, jobs.body["data"][0]["id"].as_str()), (200, Some(job.as_str())));
        assert_eq!(jobs.header("openai-organization"), server.tenant);
    }
    assert_eq!(issuer.fetches(), 1, "the keys are kept");
    assert_eq!(server.get("/v1/fine_tuning/jobs").await.status, 200, "a key");
    // A list of scopes, words of other servers, several audiences, broken seconds.
    let mut all = claims(&server.tenant, "");
    all["scope"] = json!(["openid", "jobs.read", "admin"]);
    all["aud"] = json!(["another", AUDIENCE]);
    all["exp"] = json!(now() as f64 + 600.5);
    all["nbf"] = json!(now() + 30);
    let token = issuer.signed(&json!({"alg": "ES256", "kid": "ec-1", "typ": "at+jwt"}), &all);
    assert_eq!(get(&server, &token, "/v1/fine_tuning/jobs").await.status, 200);
    let refused = get(&server, &token, "/v1/files").await;
    refused.refused(403, "insufficient_scope", None);
    let text = refused.body["error"]["message"].as_str().unwrap();
    assert!(text.contains("this token") && text.contains("files.read"), "{text}");
    // The word 'admin' of a tenant's own issuer makes no operator.
    get(&server, &token, "/v1/admin/tenants").await.refused(403, "insufficient_scope", None);
}

#[actix_web::test]
async fn what_a_token_does_is_written_down_under_its_subject() {
    let issuer = Issuer::new();
    let server = issuer.server(true).await;
    let token = issuer.token(&server.tenant, "files.write");
    let form = "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\nContent-Disposition: form-data; \
                name=\"file\"; filename=\"b.jsonl\"\r\n\r\n{\"text\": \"b\"}\r\n--XX--\r\n";
    for replayed in ["", "true"] {
        let request = server.http.post(format!("{}/v1/files", server.url)).bearer_auth(&token);
        let request = request
            .header("content-type", "multipart/form-data; boundary=XX")
            .header("idempotency-key", "once")
            .body(form);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("idempotency-replayed"), replayed);
    }
    let log = format!("/v1/admin/tenants/{}/audit", server.tenant);
    // Where the operator allows it, a token may be an operator's.
    let log = get(&server, &issuer.token(&server.tenant, "admin"), &log).await;
    let entries = log.body["data"].as_array().unwrap();
    let created = entries.iter().find(|entry| entry["action"] == "file.created").unwrap();
    assert_eq!(created["actor"], "token:alice", "{created}");
}

/// Bad tokens, each with its name and a word of the answer.
fn bad(issuer: &Issuer, tenant: &str) -> Vec<(&'static str, String, &'static str)> {
    let es = json!({"alg": "ES256", "kid": "ec-1"});
    let rs = json!({"alg": "RS256", "kid": "rsa-1"});
    let with = |name: &str, value: Value| {
        let mut claims = claims(tenant, ALL);
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        issuer.signed(&es, &claims)
    };
    let good = claims(tenant, ALL);
    let good_token = issuer.signed(&rs, &good);
    let (text, signature) = good_token.rsplit_once('.').unwrap();
    let other = Issuer::new();
    let head = |header: Value| issuer.signed(&header, &good);
    let swapped = |token: String, header: Value| {
        let rest = token.split_once('.').unwrap().1.to_string();
        format!("{}.{rest}", base64(header.to_string()))
    };
    vec![
        ("alg none", head(json!({"alg": "none"})), "cannot be read"),
        (
            "alg none with a signature",
            format!(
                "{}.{}",
                base64(r#"{"alg":"none","kid":"ec-1"}"#),
                good_token.split_once('.').unwrap().1
            ),
            "cannot be read",
        ),
        ("HS256 by the public key", head(json!({"alg": "HS256", "kid": "rsa-1"})), "algorithm"),
        ("an algorithm off the list", head(json!({"alg": "RS384", "kid": "rsa-1"})), "algorithm"),
        (
            "another key's algorithm",
            swapped(issuer.signed(&rs, &good), json!({"alg": "ES256", "kid": "rsa-1"})),
            "key",
        ),
        ("ES256 by the RSA key's id", head(json!({"alg": "ES256", "kid": "rsa-1"})), "key"),
        ("a kid that is a path", head(json!({"alg": "ES256", "kid": "../../x"})), "key"),
        ("no kid", head(json!({"alg": "ES256"})), "kid"),
        (
            "a key of its own",
            head(
                json!({"alg": "ES256", "kid": "mine", "jwk": other.ec_jwk("mine"), "jku": "http://127.0.0.1:9"}),
            ),
            "key",
        ),
        (
            "crit",
            head(json!({"alg": "ES256", "kid": "ec-1", "crit": ["b64"], "b64": false})),
            "crit",
        ),
        ("another issuer's signature", other.signed(&es, &good), "signature"),
        ("no signature", format!("{text}."), "signature"),
        ("half a signature", format!("{text}.{}", &signature[..100]), "signature"),
        ("other claims", issuer.signed(&es, &good).replacen('.', ".e30", 1), "signature"),
        ("wrong iss", with("iss", json!("https://issuer.example.org")), "iss"),
        ("no iss", with("iss", Value::Null), "iss"),
        ("wrong aud", with("aud", json!("another")), "aud"),
        ("wrong auds", with("aud", json!(["another", "trainyard2"])), "aud"),
        ("no aud", with("aud", Value::Null), "aud"),
        ("expired", with("exp", json!(now() - 61)), "expired"),
        ("exp as text", with("exp", json!("9999999999")), "exp"),
        ("no exp", with("exp", Value::Null), "exp"),
        ("nbf to come", with("nbf", json!(now() + 3_000)), "nbf"),
        ("nbf as text", with("nbf", json!("soon")), "nbf"),
        ("no sub", with("sub", Value::Null), "sub"),
        ("a sub for the log", with("sub", json!("a\nb")), "sub"),
        ("scopes as a number", with("scope", json!(7)), "scope"),
        ("huge", with("more", json!("x".repeat(9_000))), "limit is 8192"),
        ("no tenant", with("tenant", Value::Null), "no tenant of this server"),
        ("tenant as a list", with("tenant", json!([tenant])), "no tenant of this server"),
        ("a tenant that is no id", with("tenant", json!("../x")), "no tenant of this server"),
        (
            "unknown tenant",
            with("tenant", json!(format!("org-{}", "0".repeat(24)))),
            "no tenant of this server",
        ),
        ("three dots of nothing", "..".to_string(), "cannot be read"),
        ("no JSON", "e30.e30.e30".to_string(), "cannot be read"),
    ]
}

#[actix_web::test]
async fn bad_tokens_are_refused_one_by_one() {
    let issuer = Issuer::new();
    let server = issuer.server(false).await;
    assert_eq!(get(&server, &issuer.token(&server.tenant, ALL), "/v1/files").await.status, 200);
    for (name, token, word) in bad(&issuer, &server.tenant) {
        let answer = get(&server, &token, "/v1/files").await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.body);
        answer.refused(401, "invalid_api_key", None);
        let text = answer.body["error"]["message"].as_str().unwrap();
        assert!(text.contains(word), "{name}: {text}");
        assert!(!text.contains(&token) && !text.contains(ISSUER), "{name}: {text}");
    }
    assert_eq!(issuer.fetches(), 1, "unknown key ids within a minute fetch nothing");
}

#[actix_web::test]
async fn without_an_issuer_no_token_is_good() {
    let issuer = Issuer::new();
    let server = Server::start().await;
    let token = issuer.token(&server.tenant, ALL);
    get(&server, &token, "/v1/files").await.refused(401, "invalid_api_key", None);
}

#[actix_web::test]
async fn keys_that_could_never_be_fetched_are_a_fault_of_the_server() {
    let issuer = Issuer::new();
    *issuer.set.lock().unwrap() = None;
    let server = issuer.server(false).await;
    let token = issuer.token(&server.tenant, ALL);
    get(&server, &token, "/v1/files").await.refused(503, "service_unavailable", None);
    assert_eq!(server.get("/v1/files").await.status, 200, "keys work");
}

#[actix_web::test]
async fn bad_tokens_bar_their_address_as_bad_keys_do() {
    let issuer = Issuer::new();
    let settings = LimitSettings { bad_credentials_per_minute: 5, ..LimitSettings::default() };
    let options = ApiOptions {
        limits: Limits::new(settings),
        tokens: Some(issuer.oidc(false)),
        ..ApiOptions::default()
    };
    let server = Server::with(options).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let token = issuer.token("org-none", ALL);
        statuses.push(get(&server, &token, "/v1/files").await.status);
    }
    assert!(statuses[..5].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[5..].contains(&429), "{statuses:?}");
}

#[actix_web::test]
async fn a_subject_has_its_own_limit_in_each_tenant() {
    let issuer = Issuer::new();
    let server = issuer.server(false).await;
    let other = server.post("/v1/admin/tenants", &json!({"name": "other"})).await.body;
    let other = other["id"].as_str().unwrap();
    for tenant in [&server.tenant, other] {
        let path = format!("/v1/admin/tenants/{tenant}");
        let quota = json!({"quota": {"requests_per_minute_per_key": 2}});
        assert_eq!(server.post(&path, &quota).await.status, 200);
    }
    for tenant in [&server.tenant, other] {
        // Another token of the same subject does not begin anew.
        for status in [200, 200, 429] {
            let answer = get(&server, &issuer.token(tenant, ALL), "/v1/files").await;
            assert_eq!(answer.status, status, "{tenant}: {}", answer.body);
        }
    }
    let mut bob = claims(other, ALL);
    bob["sub"] = json!("bob");
    let bob = issuer.signed(&json!({"alg": "ES256", "kid": "ec-1"}), &bob);
    assert_eq!(get(&server, &bob, "/v1/files").await.status, 200);
}

#[actix_web::test]
async fn a_suspended_tenant_is_refused_at_once() {
    let issuer = Issuer::new();
    let server = issuer.server(false).await;
    let other = server.post("/v1/admin/tenants", &json!({"name": "other"})).await.body;
    let other = other["id"].as_str().unwrap();
    let token = issuer.token(other, ALL);
    assert_eq!(get(&server, &token, "/v1/files").await.status, 200);
    let path = format!("/v1/admin/tenants/{other}");
    let suspended = Answer::of(
        server
            .request(Method::POST, &path)
            .json(&json!({"status": "suspended"}))
            .send()
            .await
            .unwrap(),
    );
    assert_eq!(suspended.await.status, 200);
    get(&server, &token, "/v1/files").await.refused(403, "tenant_suspended", None);
}
