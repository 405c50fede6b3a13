//! A way to a server that loses what the server says, or brings a request when nobody expects it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the way does with a request or its answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loss {
    /// The connection ends in its place.
    Cut,
    /// It never comes; the connection stays.
    Silence,
    /// The request itself stays on the way until [`Proxy::release`].
    Late,
}

/// The way. It ends with the test's runtime.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    target: u16,
    loss: Loss,
    /// A request that holds this text loses its answer, once for each time that is left.
    armed: AtomicU32,
    mark: &'static [u8],
    lost: AtomicU32,
    /// Late requests may go on; and one has been answered.
    released: Notify,
    arrived: Notify,
}

impl Proxy {
    /// A way to `target`, on which requests that hold `mark` can lose their answers.
    pub(crate) async fn to(target: u16, loss: Loss, mark: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (armed, lost) = (AtomicU32::new(0), AtomicU32::new(0));
        let (mark, released, arrived) = (mark.as_bytes(), Notify::new(), Notify::new());
        let state = Arc::new(State { target, loss, armed, mark, lost, released, arrived });
        let accepting = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = accepting.clone();
                tokio::spawn(async move { carry(client, &state).await });
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The next `times` requests with the mark lose their answers.
    pub(crate) fn lose(&self, times: u32) {
        self.state.armed.store(times, Ordering::SeqCst);
    }

    /// Lets a late request go on, and waits until the server has answered it.
    pub(crate) async fn release(&self) {
        self.state.released.notify_one();
        self.state.arrived.notified().await;
    }

    /// Answers lost so far.
    pub(crate) fn lost(&self) -> u32 {
        self.state.lost.load(Ordering::SeqCst)
    }
}

/// Carries one connection until either side ends it or it is cut.
async fn carry(mut client: TcpStream, state: &State) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", state.target)).await else { return };
    let losing = AtomicBool::new(false);
    let (mut said, mut answered) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut whole = Vec::new();
    loop {
        tokio::select! {
            count = client.read(&mut said) => {
                let Ok(count @ 1..) = count else { return };
                // The mark may come in two pieces.
                whole.extend_from_slice(&said[..count]);
                let marked = whole.windows(state.mark.len()).any(|part| part == state.mark);
                if marked {
                    whole.clear();
                    let left = |left: u32| left.checked_sub(1);
                    if state.armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                        losing.store(true, Ordering::SeqCst);
                    }
                } else {
                    whole.drain(..whole.len().saturating_sub(state.mark.len()));
                }
                if state.loss == Loss::Late && losing.load(Ordering::SeqCst) {
                    state.lost.fetch_add(1, Ordering::SeqCst);
                    state.released.notified().await;
                    server.write_all(&said[..count]).await.unwrap();
                    assert!(server.read(&mut answered).await.unwrap() > 0);
                    state.arrived.notify_one();
                    return;
                }
                if server.write_all(&said[..count]).await.is_err() { return }
            }
            count = server.read(&mut answered) => {
                let Ok(count @ 1..) = count else { return };
                if losing.load(Ordering::SeqCst) {
                    state.lost.fetch_add(1, Ordering::SeqCst);
                    match state.loss {
                        Loss::Cut => return,
                        Loss::Silence => {
                            // Not one answer more on this connection; what the client still says is swallowed too.
                            while matches!(client.read(&mut said).await, Ok(1..)) {}
                            return;
                        }
                        Loss::Late => unreachable!("a late request has no answer yet"),
                    }
                }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
