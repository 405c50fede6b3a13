//! A TCP proxy in front of the broker that can go deaf, go dead and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on to one port.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// What the broker says is swallowed.
    deaf: Arc<AtomicBool>,
    /// Counts the cuts; a connection ends when it changes.
    cuts: watch::Sender<u32>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (deaf, cuts) = (Arc::<AtomicBool>::default(), watch::Sender::new(0));
        let mut task = JoinSet::new();
        task.spawn({
            let (deaf, cuts) = (Arc::clone(&deaf), cuts.clone());
            async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let (deaf, mut cut) = (Arc::clone(&deaf), cuts.subscribe());
                    cut.mark_unchanged();
                    connections.spawn(async move {
                        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
                            return;
                        };
                        let ((from_client, to_client), (from_server, to_server)) =
                            (client.into_split(), server.into_split());
                        tokio::select! {
                            () = pass(from_client, to_server, Arc::default()) => {}
                            () = pass(from_server, to_client, deaf) => {}
                            _ = cut.changed() => {}
                        }
                    });
                }
            }
        });
        Self { port, deaf, cuts, _task: task }
    }

    /// From now on the client hears nothing of what the broker says, or hears it again. What was swallowed is lost.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Ends all connections. New ones are passed on.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallow: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if !swallow.load(Ordering::SeqCst) && to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
