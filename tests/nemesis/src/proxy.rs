//! A way to a server that can be made bad: cut, slow, ending after some bytes, deaf on one side.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a wire.
    Open,
    /// Connections end at once, new ones too.
    Cut,
    /// Each piece of data waits this long, in both directions.
    Slow(Duration),
    /// Each direction of a connection ends after so many bytes more, mostly in the midst of something.
    After(u64),
    /// Requests arrive; answers do not: the server's side of each connection is closed towards the client.
    HalfClosed,
}

/// A way to one server. It ends with its runtime.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// An open way to a port of this machine.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (way, state) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, state.clone()));
            }
        });
        Self { port, way }
    }

    /// The port that leads to the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes the way so, for the connections that are there and for new ones.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Carries one connection until a side ends it or the way does.
async fn carry(client: TcpStream, target: u16, way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // Where one direction ends, the connection does: nobody here speaks on after the other has hung up.
    tokio::select! {
        () = pump(from_client, to_server, way.clone(), false) => {}
        () = pump(from_server, to_client, way, true) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
    answers: bool,
) {
    let mut piece = vec![0; 64 << 10];
    let mut carried = 0;
    let mut open = true;
    loop {
        let now = *way.borrow_and_update();
        match now {
            Way::Cut => return,
            Way::HalfClosed if answers && open => {
                open = false;
                if to.shutdown().await.is_err() {
                    return;
                }
            }
            Way::After(_) => {}
            _ => carried = 0,
        }
        let count = tokio::select! {
            read = from.read(&mut piece) => match read {
                Ok(count @ 1..) => count,
                _ => return,
            },
            changed = way.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        if !open {
            continue;
        }
        let mut count = count;
        match now {
            Way::Slow(time) => tokio::time::sleep(time).await,
            Way::After(limit) => {
                count = count.min(usize::try_from(limit - carried).unwrap_or(count));
                carried += count as u64;
            }
            _ => {}
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
        if matches!(now, Way::After(limit) if carried >= limit) {
            return;
        }
    }
}
