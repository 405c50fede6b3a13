//! Bodies that drip or never come.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use trainyard_api::{ApiOptions, BodyPace, Limits};

use crate::server::{Server, unlimited};

/// A hang of the server fails the test after this long; nothing is timed by it.
const HANG: Duration = Duration::from_secs(120);

async fn server(pace: BodyPace) -> Server {
    let limits = Limits::new(unlimited());
    Server::with(ApiOptions { limits, body_pace: pace, ..ApiOptions::default() }).await
}

/// Sends `head`, then a byte of `x` every `every` until the server hangs up; gives all that it said. It ends only where the server
/// closes the connection.
async fn drip(server: &Server, head: String, every: Option<Duration>) -> String {
    let address = server.url.strip_prefix("http://").unwrap().to_string();
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let dripping = std::thread::spawn(move || {
            let Some(every) = every else { return };
            while writer.write_all(b"x").is_ok() {
                std::thread::sleep(every);
            }
        });
        let mut said = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => said.extend_from_slice(&piece[..read]),
                // What was still on its way when the server closed.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server holds the connection: {error}"),
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
        dripping.join().unwrap();
        String::from_utf8(said).unwrap()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

fn head(server: &Server, path: &str, more: &str) -> String {
    let key = &server.key;
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}\r\n")
}

fn cut(said: &str, why: &str) {
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    for part in ["request_timeout", why, "x-should-retry: true"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

const FORM: &str = "content-type: multipart/form-data; boundary=XX\r\ncontent-length: 100000\r\n";
const BEGUN: &str = "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\nContent-Disposition: form-data; \
                     name=\"file\"; filename=\"b.jsonl\"\r\n\r\n";

#[actix_web::test]
async fn a_body_that_never_comes_is_cut() {
    let idle = Duration::from_millis(300);
    let server = server(BodyPace { idle, ..BodyPace::default() }).await;
    let json = "content-type: application/json\r\ncontent-length: 100\r\n";
    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    for (path, more) in [
        ("/v1/fine_tuning/jobs", json),
        ("/v1/fine_tuning/jobs", chunked),
        ("/v1/webhooks", &format!("{json}idempotency-key: once\r\n")),
        ("/v1/files", FORM),
    ] {
        let said = drip(&server, head(&server, path, more), None).await;
        cut(&said, "the body stands still: no byte came for 0.3 s");
    }
    let begun = head(&server, "/v1/files", FORM) + BEGUN + "{\"text\": \"a\"}\n";
    cut(&drip(&server, begun, None).await, "stands still");
    assert_eq!(server.get("/v1/files").await.body["data"].as_array().unwrap().len(), 0);
}

#[actix_web::test]
async fn a_body_that_nobody_wants_does_not_hold_its_connection() {
    // The defaults: none of these is waited for at all.
    let server = server(BodyPace { idle: HANG * 10, ..BodyPace::default() }).await;
    let every = Some(Duration::from_millis(20));
    let job = server.job().await;
    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let stranger = format!("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n{chunked}\r\n7fffffff\r\n");
    let said = drip(&server, stranger, every).await;
    assert!(said.starts_with("HTTP/1.1 401"), "{said}");
    let pause = format!("/v1/fine_tuning/jobs/{job}/pause");
    let said = drip(&server, head(&server, &pause, chunked) + "7fffffff\r\n", every).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let get = head(&server, "/v1/models", chunked).replacen("POST", "GET", 1) + "7fffffff\r\n";
    let said = drip(&server, get, every).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[actix_web::test]
async fn a_body_that_drips_is_cut_and_holds_up_nobody() {
    let pace =
        BodyPace { idle: HANG, bytes_per_second: 1_000_000, period: Duration::from_millis(500) };
    let server = server(pace).await;
    let every = Some(Duration::from_millis(20));
    let drips = (0..20).map(|number| {
        // Whether a key for repeats is sent or not.
        let more = match number % 2 {
            0 => FORM.to_string(),
            _ => format!("{FORM}idempotency-key: k{number}\r\n"),
        };
        drip(&server, head(&server, "/v1/files", &more) + BEGUN, every)
    });
    let drips = futures::future::join_all(drips);
    // One thread answers all: it is free for others meanwhile.
    let (said, answer) = futures::join!(drips, server.get("/v1/models"));
    assert_eq!(answer.status, 200);
    for said in said {
        cut(&said, "the limit is 1000000 bytes a second");
    }
    assert_eq!(server.get("/v1/files").await.body["data"].as_array().unwrap().len(), 0);
    // The key was given back: the same request, whole, is done.
    let whole = format!("{BEGUN}{{\"text\": \"a\"}}\r\n--XX--\r\n");
    let request = server.request(reqwest::Method::POST, "/v1/files").body(whole);
    let request = request
        .header("content-type", "multipart/form-data; boundary=XX")
        .header("idempotency-key", "k1");
    assert_eq!(request.send().await.unwrap().status(), 200);
}
