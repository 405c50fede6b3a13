//! A TCP proxy before an S3 server that cuts connections, loses answers, and answers for the server that it is busy.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

#[derive(Debug, Default)]
struct Rules {
    /// Cut each connection on which this many bytes went this way.
    cut: Option<(Way, usize)>,
    /// Cuts still to make.
    times: u32,
    /// The beginning of a request whose answer is lost.
    lose: Option<&'static str>,
    /// Connections still to be answered with 503.
    busy: u32,
    made: u32,
}

/// A proxy that stands until the runtime ends.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// `http://ADDRESS`.
    pub(crate) endpoint: String,
    rules: Arc<Mutex<Rules>>,
    close: Arc<Notify>,
}

impl Proxy {
    pub(crate) async fn before(server: &str) -> Self {
        let server: SocketAddr = server.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Self { endpoint, rules: Arc::default(), close: Arc::default() };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(client, server));
            }
        });
        proxy
    }

    /// Cuts connections on which `bytes` went `way`, so many of them.
    pub(crate) fn cut(&self, way: Way, bytes: usize, times: u32) {
        self.rule(Rules { cut: Some((way, bytes)), times, ..Rules::default() });
    }

    /// Cuts the connection of the next request that begins so when its answer comes.
    pub(crate) fn lose(&self, request: &'static str) {
        self.rule(Rules { lose: Some(request), ..Rules::default() });
    }

    /// Answers the next connections with 503, and closes those that are open.
    pub(crate) fn busy(&self, connections: u32) {
        self.rule(Rules { busy: connections, ..Rules::default() });
        self.close.notify_waiters();
    }

    /// Lets everything pass from now on; gives how often it did what it was told.
    pub(crate) fn heal(&self) -> u32 {
        self.rule(Rules::default())
    }

    fn rule(&self, rules: Rules) -> u32 {
        std::mem::replace(&mut *self.rules.lock().unwrap(), rules).made
    }

    async fn serve(self, mut client: TcpStream, server: SocketAddr) {
        if self.is_busy() {
            let _ = client.read(&mut [0; 4096]).await;
            let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>";
            let length = body.len();
            let head = format!(
                "HTTP/1.1 503 Slow Down\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
            return;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let lost = AtomicBool::new(false);
        // Whichever ends first ends both: dropping the halves closes the connections.
        tokio::select! {
            () = self.copy(Way::Up, &mut from_client, &mut to_server, &lost) => {}
            () = self.copy(Way::Down, &mut from_server, &mut to_client, &lost) => {}
            () = self.close.notified() => {}
        }
    }

    async fn copy(
        &self,
        way: Way,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
        lost: &AtomicBool,
    ) {
        let (mut piece, mut went) = (vec![0; 16 * 1024], 0);
        while let Ok(read) = from.read(&mut piece).await {
            went += read;
            let piece = &piece[..read];
            if read == 0 || self.ends(way, went, piece, lost) || to.write_all(piece).await.is_err()
            {
                return;
            }
        }
    }

    fn is_busy(&self) -> bool {
        let mut rules = self.rules.lock().unwrap();
        let busy = rules.busy > 0;
        if busy {
            rules.busy -= 1;
            rules.made += 1;
        }
        busy
    }

    fn ends(&self, way: Way, went: usize, piece: &[u8], lost: &AtomicBool) -> bool {
        let mut rules = self.rules.lock().unwrap();
        match (way, rules.lose) {
            (Way::Up, Some(request)) if piece.starts_with(request.as_bytes()) => {
                rules.lose = None;
                lost.store(true, Ordering::SeqCst);
            }
            (Way::Down, _) if lost.load(Ordering::SeqCst) => {
                rules.made += 1;
                return true;
            }
            _ => {}
        }
        let cut = rules.cut.is_some_and(|(cut, bytes)| cut == way && went >= bytes);
        if cut && rules.times > 0 {
            rules.times -= 1;
            rules.made += 1;
            return true;
        }
        false
    }
}
