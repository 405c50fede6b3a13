//! HTTP that lies: about its length, its end, its encoding, its number of headers, its time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::server::{Answer, Server};

/// Writes `pieces`, each after a wait, and reads until the server closes, answers whole, or 5 s have passed.
fn talk(address: &str, pieces: Vec<(Duration, Vec<u8>)>) -> (String, Duration) {
    let mut stream = TcpStream::connect(address).unwrap();
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        for (wait, piece) in pieces {
            std::thread::sleep(wait);
            // The server may have hung up: that is an answer too.
            if writer.write_all(&piece).is_err() {
                break;
            }
        }
    });
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        said.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&said);
        // One answer is enough, be the connection kept or not.
        if text.contains("\r\n\r\n") && !text.starts_with("HTTP/1.1 100") {
            break;
        }
    }
    let took = begun.elapsed();
    // Ends the other half too: who writes to a server that does not read would wait for ever.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    writing.join().unwrap();
    (String::from_utf8_lossy(&said).into_owned(), took)
}

/// The same from a thread that may wait: the server shares this one.
async fn raw(server: &Server, pieces: Vec<(Duration, Vec<u8>)>) -> (u16, String, Duration) {
    let address = server.url.strip_prefix("http://").unwrap().to_string();
    let talking = tokio::task::spawn_blocking(move || talk(&address, pieces));
    let (said, took) = talking.await.unwrap();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, said, took)
}

fn head(server: &Server, more: &str) -> Vec<u8> {
    format!(
        "POST /v1/fine_tuning/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{more}\r\n",
        server.key
    )
    .into_bytes()
}

const NOW: Duration = Duration::ZERO;

#[actix_web::test]
async fn lengths_that_lie() {
    let server = Server::start().await;
    let huge = head(&server, "content-length: 10737418240\r\n");
    let (status, said, took) = raw(&server, vec![(NOW, huge)]).await;
    assert_eq!(status, 413, "{said}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    // More than was announced is the next request, and none that can be read.
    let mut long = head(&server, "content-length: 2\r\n");
    long.extend(b"{}");
    long.extend(vec![b'x'; 1 << 20]);
    assert_eq!(raw(&server, vec![(NOW, long)]).await.0, 400);
    for wrong in [
        "content-length: -1\r\n",
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
    ] {
        let mut request = head(&server, wrong);
        request.extend(b"0\r\n\r\n");
        let (status, said, _) = raw(&server, vec![(NOW, request)]).await;
        assert!((400..502).contains(&status), "{wrong}: {said}");
        assert!(!said.contains("ftjob-"), "{wrong}: {said}");
    }
    assert_eq!(server.get("/v1/models").await.status, 200);
}

#[actix_web::test]
async fn a_body_without_end_is_cut_at_its_limit() {
    let server = Server::start().await;
    let mut pieces = vec![(NOW, head(&server, "transfer-encoding: chunked\r\n"))];
    let mut chunk = b"8000\r\n".to_vec();
    chunk.extend(vec![b' '; 0x8000]);
    chunk.extend(b"\r\n");
    pieces.extend((0..200).map(|_| (Duration::from_millis(1), chunk.clone())));
    let (status, said, _) = raw(&server, pieces).await;
    assert_eq!(status, 413, "{said}");
    assert_eq!(server.get("/v1/models").await.status, 200);
}

#[actix_web::test]
async fn a_head_that_comes_too_slowly_is_hung_up_on() {
    let server = Server::start().await;
    let slow: Vec<_> = (0..40).map(|_| (Duration::from_millis(100), b"x".to_vec())).collect();
    let start = (NOW, b"GET /v1/models HTTP/1.1\r\nhost: ".to_vec());
    let (status, said, took) = raw(&server, [vec![start], slow].concat()).await;
    assert!(matches!(status, 0 | 408), "{said}");
    assert!(took < Duration::from_secs(4), "held for {took:?}");
    assert_eq!(server.get("/v1/models").await.status, 200);
}

#[actix_web::test]
async fn heads_without_measure() {
    let server = Server::start().await;
    let many: String = (0..100_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let (status, said, _) = raw(&server, vec![(NOW, head(&server, &many))]).await;
    assert!(matches!(status, 0 | 400..=499), "{said}");
    let long = format!("x-long: {}\r\n", "y".repeat(10 << 20));
    let (status, said, _) = raw(&server, vec![(NOW, head(&server, &long))]).await;
    assert!(matches!(status, 0 | 400..=499), "{said}");
    for line in ["x: a\0b\r\n", "x y: z\r\n", "x: a\nset-cookie: b\r\n", ": empty\r\n"] {
        let (status, said, _) = raw(&server, vec![(NOW, head(&server, line))]).await;
        assert!(!(500..600).contains(&status) && !said.contains("set-cookie"), "{line:?}: {said}");
    }
    assert_eq!(server.get("/v1/models").await.status, 200);
}

#[actix_web::test]
async fn a_client_that_waits_to_be_asked() {
    let server = Server::start().await;
    let expect = "expect: 100-continue\r\ncontent-length: 2\r\n";
    let pieces = vec![(NOW, head(&server, expect)), (Duration::from_millis(300), b"[]".to_vec())];
    let (_, said, _) = raw(&server, pieces).await;
    assert!(said.starts_with("HTTP/1.1 100") && said.contains("HTTP/1.1 400"), "{said}");
    // One without a key is told so, and its body is not waited for.
    let stranger =
        format!("POST /v1/fine_tuning/jobs HTTP/1.1\r\nhost: x\r\n{expect}\r\n").into_bytes();
    let (_, said, took) = raw(&server, vec![(NOW, stranger)]).await;
    assert!(said.contains("HTTP/1.1 401"), "{said}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[actix_web::test]
async fn encoded_bodies_are_not_unpacked() {
    let server = Server::start().await;
    let operations = crate::document::operations();
    let posts = operations
        .iter()
        .filter(|(_, method, operation)| method == "post" && !operation["requestBody"].is_null());
    let mut refused = 0;
    for (path, _, operation) in posts {
        let content = operation["requestBody"]["content"].as_object().unwrap();
        let kind = content.keys().next().unwrap().replace("form-data", "form-data; boundary=XX");
        let path = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        for encoding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x-unknown"] {
            let request = server.request(Method::POST, &path).header("content-encoding", encoding);
            let request = request.header("content-type", &kind).body(vec![0x1f; 100]);
            let answer = Answer::of(request.send().await.unwrap()).await;
            answer.refused(415, "unsupported_media_type", None);
            refused += 1;
        }
    }
    assert!(refused >= 30, "{refused}");
}
