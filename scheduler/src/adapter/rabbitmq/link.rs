//! Keeps a connection: when it ends, the next one is made, with pauses that grow and differ from process to process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::fault::Fault;
use super::session::Session;

/// The pause after a first failure; it doubles with each more.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A connection that held this long was a good one: the next failure is a first one again.
const GOOD: Duration = Duration::from_secs(30);

/// A connection that is made when it is first asked for, and anew whenever it ends.
pub(super) struct Link {
    address: Address,
    purpose: &'static str,
    kept: OnceLock<Kept>,
}

/// The task that keeps the connection ends with the link.
struct Kept {
    state: watch::Receiver<State>,
    _task: JoinSet<()>,
}

enum State {
    Up(Arc<Session>),
    Down(String),
}

impl Link {
    pub(super) fn new(address: Address, purpose: &'static str) -> Self {
        Self { address, purpose, kept: OnceLock::new() }
    }

    /// The connection, once there is one.
    pub(super) async fn session(&self, patience: Duration) -> Result<Arc<Session>, Fault> {
        let mut state = self.kept.get_or_init(|| self.keep()).state.clone();
        let up = async {
            let state = state.wait_for(|state| matches!(state, State::Up(_))).await.ok()?;
            match &*state {
                State::Up(session) => Some(Arc::clone(session)),
                State::Down(_) => None,
            }
        };
        if let Ok(Some(session)) = timeout(patience, up).await {
            return Ok(session);
        }
        let reason = match &*state.borrow() {
            State::Down(reason) => reason.clone(),
            State::Up(_) => "it has only just been connected".to_string(),
        };
        Err(Fault::Failed(format!("{} is not connected: {reason}", self.address)))
    }

    fn keep(&self) -> Kept {
        let (sender, state) = watch::channel(State::Down("connecting".to_string()));
        let mut task = JoinSet::new();
        task.spawn(keep(self.address.clone(), self.purpose, sender));
        Kept { state, _task: task }
    }
}

async fn keep(address: Address, purpose: &'static str, state: watch::Sender<State>) {
    let mut failures = 0;
    loop {
        let reason = match Session::open(&address, purpose).await {
            Ok(session) => {
                tracing::info!(broker = %address, purpose, "connected");
                let since = Instant::now();
                state.send_replace(State::Up(Arc::clone(&session)));
                let reason = session.ended(&address).await;
                if since.elapsed() > GOOD {
                    failures = 0;
                }
                reason
            }
            Err(fault) => fault.to_string(),
        };
        let pause = pause(failures);
        failures += 1;
        tracing::warn!(broker = %address, purpose, reason, ?pause, "not connected; trying again");
        state.send_replace(State::Down(reason));
        sleep(pause).await;
    }
}

/// The pause after as many failures before: jittered, so that all who lost a broker do not come back in one moment.
pub(super) fn pause(failures: u32) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    // Without random bytes it is half the pause.
    let random = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
    longest.mul_f64(0.5 + random / 2.0)
}
