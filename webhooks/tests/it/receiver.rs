//! A receiver on a free port that counts connections, keeps what it was sent, and answers as a test tells it to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        found.map(str::to_string).next().unwrap_or_else(|| panic!("no {name}: {}", self.head))
    }
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    accepted: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Answers each request with `answer`, byte for byte; with nothing at all where it is empty.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (accepted, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
        let receiver = Self { port, accepted: accepted.clone(), received: received.clone() };
        let answer: Arc<Vec<u8>> = Arc::new(answer.into());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (received, answer) = (received.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let request = loop {
                        let mut buffer = [0; 4096];
                        match stream.read(&mut buffer).await {
                            Ok(read) if read > 0 => bytes.extend(&buffer[..read]),
                            _ => return,
                        }
                        if let Some(request) = whole(&bytes) {
                            break request;
                        }
                    };
                    received.lock().unwrap().push(request);
                    if answer.is_empty() {
                        // Never answers, and never closes.
                        std::future::pending::<()>().await;
                    }
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        receiver
    }

    pub(crate) async fn with_status(status: u16) -> Self {
        Self::answering(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n")).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn whole(bytes: &[u8]) -> Option<Received> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    })?;
    (body.len() >= length).then(|| Received { head: head.to_string(), body: body.to_string() })
}
