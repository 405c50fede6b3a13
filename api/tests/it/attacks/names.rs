//! Names that want to be paths, headers, log lines or links to elsewhere.

use reqwest::Method;
use serde_json::json;

use crate::server::{Answer, Server};

#[actix_web::test]
async fn names_of_things_are_never_paths() {
    let server = Server::start().await;
    for name in [
        "..",
        ".",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fstore.db",
        "%00",
        "a%00b",
        "CON",
        "-rf",
        "%E2%80%AEgnp.exe",
        "a%0d%0aset-cookie:%20x",
        "%FF%FE",
        "?versionId=1",
        "files%2f%2fx",
        ".writing",
    ] {
        for pattern in [
            "/v1/files/N",
            "/v1/files/N/content",
            "/v1/fine_tuning/jobs/N",
            "/v1/models/N",
            "/v1/models/N/artifacts",
            "/v1/models/tiny/artifacts/N",
            "/v1/fine_tuning/jobs/N/events",
        ] {
            let url = pattern.replace('N', name);
            let answer = server.get(&url).await;
            // `..` and `?` are the client's to resolve: then it is another address, and no thing of that name.
            let resolved = ["..", ".", "%2e%2e"].contains(&name) || name.starts_with('?');
            let fits = matches!(answer.status, 400 | 404) || (resolved && answer.status == 200);
            assert!(fits, "{url}: {} {}", answer.status, answer.body);
            assert!(answer.headers.get("set-cookie").is_none(), "{url}");
            let text = answer.body.to_string();
            assert!(!text.contains("root:") && !text.contains("SQLite format"), "{url}: {text}");
        }
    }
    let long = "x".repeat(300);
    assert_eq!(server.get(&format!("/v1/models/{long}")).await.status, 404);
    let echoed = server.get(&format!("/v1/models/{}", "y".repeat(20_000))).await;
    assert!(echoed.body.to_string().len() < 2_000, "an error repeats all that was sent");
}

#[actix_web::test]
async fn file_names_are_shown_safely_or_refused() {
    let server = Server::start().await;
    let upload = async |name: &str| {
        server
            .form(&[("purpose", None, b"fine-tune"), ("file", Some(name), b"{\"text\": \"a\"}\n")])
            .await
    };
    for name in
        ["a\u{1b}[31mred", "a\tb", "a\u{7}b", "a\u{2066}b", "..", ".", "a/b", &"x".repeat(256)]
    {
        let answer = upload(name).await;
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.body);
        assert!(!answer.body.to_string().contains('\u{1b}'), "{}", answer.body);
    }
    for name in [
        "-rf",
        "CON",
        ".hidden",
        "%2e%2e%2f",
        "a;b=c",
        "weird'quote",
        "a}{job=x",
        "back\\slash",
        "ﬁle.jsonl",
    ] {
        let answer = upload(name).await;
        if answer.status != 200 {
            answer.refused(400, "invalid_value", Some("file"));
            continue;
        }
        let id = answer.body["id"].as_str().unwrap();
        let content =
            server.request(Method::GET, &format!("/v1/files/{id}/content")).send().await.unwrap();
        let header = content.headers()["content-disposition"].to_str().unwrap();
        assert!(header.starts_with("attachment; filename=\""), "{header}");
        assert_eq!(header.matches('"').count(), 2, "{header}");
        assert!(header.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()), "{header}");
    }
}

#[actix_web::test]
async fn what_a_client_says_of_itself_is_bounded() {
    let server = Server::start().await;
    for (name, value) in [
        ("x-request-id", "a\"},{\"level\":\"error"),
        ("traceparent", "garbage"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-00"),
        ("x-forwarded-for", "1.2.3.4, 5.6.7.8"),
        ("host", "evil.example"),
        ("user-agent", "<script>${jndi:x}"),
    ] {
        let request = server.request(Method::GET, "/v1/models").header(name, value.as_bytes());
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(matches!(answer.status, 200 | 400), "{name}: {}", answer.body);
        assert!(!answer.body.to_string().contains("evil.example"), "{}", answer.body);
    }
    let state =
        server.request(Method::GET, "/v1/models").header("tracestate", "a=b,".repeat(15_000));
    assert!(matches!(state.send().await.unwrap().status().as_u16(), 200 | 400 | 431));
    // Text with control characters in a body reaches no header and no identifier.
    let file = server.upload("{\"text\": \"a\"}\n").await;
    for (field, value) in [
        ("suffix", json!("a\nb")),
        ("suffix", json!("a\u{1b}[0m")),
        ("suffix", json!("../x")),
        ("model", json!("tiny\r\nx: y")),
        ("model", json!("tiny\u{0}")),
    ] {
        let mut body = json!({"model": "tiny", "training_file": file});
        body[field] = value;
        let answer = server.post("/v1/fine_tuning/jobs", &body).await;
        assert!(matches!(answer.status, 400 | 404), "{body}: {}", answer.body);
    }
}
