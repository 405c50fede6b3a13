//! A TCP proxy before an S3 server that cuts connections, answers for it that it is busy, and keeps count.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
    /// Cut each time that this many bytes went this way.
    cut: Option<(Way, usize)>,
    /// Bytes until the next cut.
    left: usize,
    /// Cuts still to make.
    times: u32,
    made: u32,
    /// Connections still to be answered with 503.
    busy: u32,
}

/// A proxy that stands until the runtime ends.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// `http://ADDRESS`.
    pub(crate) endpoint: String,
    rules: Arc<Mutex<Rules>>,
}

impl Proxy {
    pub(crate) async fn before(server: &str) -> Self {
        let server: SocketAddr = server.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let rules = Arc::new(Mutex::new(Rules::default()));
        let proxy = Self { endpoint, rules };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(client, server));
            }
        });
        proxy
    }

    /// Cuts a connection whenever `bytes` more went `way`, so many times.
    pub(crate) fn cut(&self, way: Way, bytes: usize, times: u32) {
        let mut rules = self.rules.lock().unwrap();
        *rules = Rules { cut: Some((way, bytes)), left: bytes, times, ..Rules::default() };
    }

    /// Answers the next connections with 503.
    pub(crate) fn busy(&self, connections: u32) {
        *self.rules.lock().unwrap() = Rules { busy: connections, ..Rules::default() };
    }

    /// Lets everything pass from now on; gives the cuts made and the connections still to be answered with 503.
    pub(crate) fn heal(&self) -> (u32, u32) {
        let rules = std::mem::take(&mut *self.rules.lock().unwrap());
        (rules.made, rules.busy)
    }

    async fn serve(self, mut client: TcpStream, server: SocketAddr) {
        let busy = {
            let mut rules = self.rules.lock().unwrap();
            let busy = rules.busy > 0;
            rules.busy = rules.busy.saturating_sub(1);
            busy
        };
        if busy {
            let _ = client.read(&mut [0; 4096]).await;
            let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>";
            let head = format!(
                "HTTP/1.1 503 Slow Down\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
            return;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        // Whichever ends first ends both: dropping the halves closes the connections.
        tokio::select! {
            () = self.copy(Way::Up, &mut from_client, &mut to_server) => {}
            () = self.copy(Way::Down, &mut from_server, &mut to_client) => {}
        }
    }

    async fn copy(
        &self,
        way: Way,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
    ) {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(read) = from.read(&mut piece).await {
            if read == 0 || self.cuts(way, read) || to.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
    }

    fn cuts(&self, way: Way, bytes: usize) -> bool {
        let mut rules = self.rules.lock().unwrap();
        match rules.cut {
            Some((cut, every)) if cut == way && rules.times > 0 => {
                if rules.left > bytes {
                    rules.left -= bytes;
                    return false;
                }
                rules.left = every;
                rules.times -= 1;
                rules.made += 1;
                true
            }
            _ => false,
        }
    }
}
