//! Keys that are none, idempotency keys that are none, and what time tells.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use trainyard_scheduler::key::ApiKey;

use crate::server::{Answer, Server};

/// Base64 of `{"alg":"none"}` and `{"alg":"HS256","kid":"../../etc/passwd"}`.
const HEADERS: [&str; 2] =
    ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLy4uL2V0Yy9wYXNzd2QifQ"];

#[actix_web::test]
async fn tokens_that_nobody_signed() {
    let server = Server::start().await;
    let claims = "eyJzdWIiOiJhZG1pbiIsInNjb3BlIjoiYWRtaW4ifQ";
    let mut tokens: Vec<String> =
        HEADERS.iter().map(|header| format!("{header}.{claims}.")).collect();
    tokens.push(format!("{}.{claims}.{}", HEADERS[1], "A".repeat(43)));
    tokens.push(format!("{}.{claims}.{}", HEADERS[0], "A".repeat(60_000)));
    tokens.push(format!("{} {}", server.key, server.key));
    tokens.push(format!("{}é", server.key));
    let mut wrong_checksum = server.key.clone().into_bytes();
    let last = wrong_checksum.len() - 1;
    wrong_checksum[last] = if wrong_checksum[last] == b'a' { b'b' } else { b'a' };
    tokens.push(String::from_utf8(wrong_checksum).unwrap());
    for token in tokens {
        let request = server.http.get(format!("{}/v1/models", server.url));
        let answer = request
            .header("authorization", format!("Bearer {token}").into_bytes())
            .send()
            .await
            .unwrap();
        // A head over 128 KiB is the HTTP library's to refuse; all of these are under it.
        Answer::of(answer).await.refused(401, "invalid_api_key", None);
    }
}

/// 1,000 unknown ids and 1,000 wrong secrets of a known one, in turn: an attacker cannot tell which ids exist.
#[actix_web::test]
async fn an_unknown_id_takes_as_long_as_a_wrong_secret() {
    let server = Server::start().await;
    let known = ApiKey::parse(&server.key).unwrap();
    let (mut unknown, mut wrong) = (Vec::new(), Vec::new());
    for _ in 0..1_000 {
        let other = ApiKey::generate().unwrap().reveal();
        let secret = with_id_of(&known);
        for (times, key) in [(&mut unknown, other), (&mut wrong, secret)] {
            let begun = Instant::now();
            let refused = server.scheduler.authenticate(&key).await;
            times.push(begun.elapsed());
            assert!(refused.is_err());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let (unknown, wrong) = (median(&mut unknown), median(&mut wrong));
    // Reading a record costs some microseconds in a debug build; a slow hash or an early return would cost a multiple.
    let (short, long) = (unknown.min(wrong), unknown.max(wrong));
    assert!(long < short * 2.0 + 50e-6, "unknown {unknown:.6} s, wrong {wrong:.6} s");
}

/// A key of another secret under the same id, with the checksum that fits.
fn with_id_of(known: &ApiKey) -> String {
    let other = ApiKey::generate().unwrap().reveal();
    let secret = &other[22..22 + 43];
    let sum = crc(&format!("{}_{secret}", known.id()));
    let key = format!("tyk_live_{}_{secret}{sum}", known.id());
    assert_eq!(ApiKey::parse(&key).unwrap().id(), known.id());
    key
}

/// CRC-32 (IEEE) in six base62 characters, bit by bit.
fn crc(text: &str) -> String {
    let mut sum = u32::MAX;
    for byte in text.bytes() {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    let (mut sum, mut out) = (!sum, [b'0'; 6]);
    let letters = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for place in out.iter_mut().rev() {
        *place = letters[(sum % 62) as usize];
        sum /= 62;
    }
    String::from_utf8(out.to_vec()).unwrap()
}

#[actix_web::test]
async fn twenty_at_once_under_one_idempotency_key_make_one_job() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let send = async |key: &str, seed: u32| {
        let body = json!({"model": "tiny", "training_file": file, "seed": seed});
        let request =
            server.request(Method::POST, "/v1/fine_tuning/jobs").header("idempotency-key", key);
        Answer::of(request.json(&body).send().await.unwrap()).await
    };
    let answers = join_all((0..20).map(|_| send("same", 1))).await;
    let mut ids: Vec<&str> = Vec::new();
    for answer in &answers {
        match answer.status {
            200 => ids.push(answer.body["id"].as_str().unwrap()),
            _ => answer.refused(409, "idempotency_in_progress", None),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    send("same", 2).await.refused(422, "idempotency_key_reused", None);
    send(&"k".repeat(10_240), 1).await.refused(400, "invalid_value", Some("Idempotency-Key"));
    assert_eq!(server.get("/v1/fine_tuning/jobs").await.body["data"].as_array().unwrap().len(), 1);
}
