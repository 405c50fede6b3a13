//! Hears what other processes commit: one connection of each process, shared by all who wait in it.

use std::time::Duration;

use futures::StreamExt;
use redis::{Client, RedisError};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use trainyard_openapi::id::JobId;

use crate::port::news::Word;

/// Words that a listener may be behind before it is told only that it missed some.
const KEPT: usize = 1024;
/// A connection that is still this long is asked whether it is there.
const STILL_MAX: Duration = Duration::from_secs(15);
const ANSWER_MAX: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The task that listens; it ends with this.
pub(super) struct Listener {
    pub(super) said: broadcast::Sender<Word>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Listens on `channel` for what others than `origin` say.
    pub(super) fn start(client: Client, channel: String, origin: String) -> Self {
        let (said, _) = broadcast::channel(KEPT);
        let task = tokio::spawn(listen(client, channel, origin, said.clone()));
        Self { said, task }
    }
}

async fn listen(client: Client, channel: String, origin: String, said: broadcast::Sender<Word>) {
    let mut pause = PAUSE_MIN;
    loop {
        let mut heard = false;
        if let Err(error) = hear(&client, &channel, &origin, &said, &mut heard).await {
            tracing::debug!(%error, "listening to Redis anew");
        }
        pause = if heard { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// Listens until the connection ends.
async fn hear(
    client: &Client,
    channel: &str,
    origin: &str,
    said: &broadcast::Sender<Word>,
    heard: &mut bool,
) -> Result<(), RedisError> {
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let (mut ask, mut messages) =
        timeout(ANSWER_MAX, client.get_async_pubsub()).await.map_err(late)??.split();
    timeout(ANSWER_MAX, ask.subscribe(channel)).await.map_err(late)??;
    // Nobody listened until now. Where nobody waits there is nobody to tell.
    let _ = said.send(Word::Missed);
    *heard = true;
    loop {
        match timeout(STILL_MAX, messages.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => {
                let text: String = message.get_payload()?;
                if let Some(word) = word(&text, origin) {
                    let _ = said.send(word);
                }
            }
            Err(_) => {
                timeout(ANSWER_MAX, ask.ping::<redis::Value>()).await.map_err(late)??;
            }
        }
    }
}

/// `ORIGIN JOB 0|1`, as `lua/commit.lua` says it; none where it is our own. What cannot be read may mean anything.
fn word(text: &str, own: &str) -> Option<Word> {
    let mut parts = text.split(' ');
    if parts.next() == Some(own) {
        return None;
    }
    match (parts.next().map(str::parse::<JobId>), parts.next()) {
        (Some(Ok(job)), Some(moved)) => Some(Word::Changed { job, moved: moved == "1" }),
        _ => Some(Word::Missed),
    }
}
