//! Connections, and the patience with which something is asked until there is a definite answer.
//!
//! A connection that failed or did not answer in time is dropped, and the question is repeated on a new one. Reads may be
//! repeated as they are; writes carry a nonce and know when they have happened (`lua/nonce.lua`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, Script, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::guard::{Facts, Guard, Unfit};
use crate::port::store::{Durability, StoreError};

/// A slow disk may take seconds for an fsync; what takes longer is asked anew.
const RESPONSE_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long replicas have to take a write.
const REPLICAS_MAX: Duration = Duration::from_secs(4);
/// How long a question is asked anew before its asker hears that there is no answer: room for two that time out.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections for writes that wait for replicas: waiting holds up whatever else is on the connection.
const WAITING_LINES: usize = 8;

/// The way to one server.
pub(super) struct Link {
    client: Client,
    guard: Guard,
    replicas: u32,
    /// The first is shared by all who do not wait; each of the others serves one write at a time.
    lines: Vec<Mutex<Line>>,
    turn: AtomicUsize,
    durability: StdMutex<Durability>,
}

/// A connection, where there is one.
#[derive(Default)]
struct Line {
    /// Counts the connections, so that a failure of an old one does not end a new one.
    number: u64,
    open: Option<(MultiplexedConnection, Facts)>,
}

/// What is asked.
pub(super) enum Question<'a> {
    /// One command that only reads.
    Command(&'a Cmd),
    /// A script that only reads, and its request.
    Read(&'static Script, &'a str),
    /// A script that writes, its nonce, and its request.
    Write(&'static Script, &'a str, &'a str),
}

/// Why there is no answer.
enum Fault {
    /// It may come when asked again; whether the question was sent.
    Passing { reason: String, sent: bool },
    /// It will not.
    Final(StoreError),
}

impl Link {
    /// A way to the server of `client`. Nothing is connected yet.
    pub(super) fn new(client: Client, guard: Guard, replicas: u32) -> Self {
        let waiting = if replicas > 0 { WAITING_LINES } else { 0 };
        Self {
            client,
            guard,
            replicas,
            lines: (0..=waiting).map(|_| Mutex::default()).collect(),
            turn: AtomicUsize::new(0),
            durability: StdMutex::new(Durability::Durable),
        }
    }

    /// What the server last said of itself.
    pub(super) fn durability(&self) -> Durability {
        self.durability.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks until there is a definite answer, or patience ends.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Value, StoreError> {
        let begun = Instant::now();
        let (mut pause, mut again) = (PAUSE_MIN, false);
        loop {
            match self.ask_once(&question, again).await {
                Ok(answer) => return Ok(answer),
                // It may have happened the first time: only now is there no room.
                Err(Fault::Final(StoreError::NoSpace)) if again => {
                    let text = "no answer, and no space to ask again";
                    return Err(StoreError::Unavailable(text.to_string()));
                }
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing { reason, sent }) => {
                    again |= sent;
                    if begun.elapsed() + pause > PATIENCE {
                        return Err(StoreError::Unavailable(reason));
                    }
                    tracing::debug!(reason, "asking Redis again");
                }
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask_once(&self, question: &Question<'_>, again: bool) -> Result<Value, Fault> {
        let waits = self.replicas > 0 && matches!(question, Question::Write(..));
        if !waits {
            let line = &self.lines[0];
            let (number, mut connection, _) = self.connected(&mut *line.lock().await).await?;
            let answer = self.send(&mut connection, question, again).await;
            if answer.as_ref().is_err_and(breaks) {
                line.lock().await.hang_up(number);
            }
            return answer.map_err(|error| fault(&error));
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (self.lines.len() - 1);
        let mut line = self.lines[1 + turn].lock().await;
        let (number, mut connection, facts) = self.connected(&mut line).await?;
        let answer = match self.send(&mut connection, question, again).await {
            Ok(answer) => self.wait(&mut connection, &facts).await.map(|()| answer),
            Err(error) => Err(fault(&error)),
        };
        if matches!(answer, Err(Fault::Passing { .. })) {
            line.hang_up(number);
        }
        answer
    }

    async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        question: &Question<'_>,
        again: bool,
    ) -> Result<Value, RedisError> {
        match question {
            Question::Command(command) => command.query_async(connection).await,
            Question::Read(script, request) => {
                script.key(&self.guard.prefix).arg(*request).invoke_async(connection).await
            }
            Question::Write(script, nonce, request) => {
                let mut script = script.key(&self.guard.prefix);
                script.arg(*nonce).arg(if again { "again" } else { "first" }).arg(*request);
                script.invoke_async(connection).await
            }
        }
    }

    /// Waits until enough replicas have what this connection wrote.
    async fn wait(
        &self,
        connection: &mut MultiplexedConnection,
        facts: &Facts,
    ) -> Result<(), Fault> {
        let limit = u64::try_from(REPLICAS_MAX.as_millis()).unwrap_or(u64::MAX);
        let reached: Result<u32, RedisError> = if facts.waits_for_disks {
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(self.replicas).arg(limit);
            wait.query_async(connection).await.map(|(_, replicas): (u32, u32)| replicas)
        } else {
            redis::cmd("WAIT").arg(self.replicas).arg(limit).query_async(connection).await
        };
        match reached {
            Ok(reached) if reached >= self.replicas => Ok(()),
            Ok(reached) => {
                let wanted = self.replicas;
                let reason = format!("{reached} of {wanted} replicas have taken the write");
                Err(Fault::Passing { reason, sent: true })
            }
            Err(error) => Err(fault(&error)),
        }
    }

    /// The line's connection, made where it has none.
    async fn connected(
        &self,
        line: &mut Line,
    ) -> Result<(u64, MultiplexedConnection, Facts), Fault> {
        if let Some((connection, facts)) = &line.open {
            return Ok((line.number, connection.clone(), facts.clone()));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(RESPONSE_MAX));
        let opened = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = opened.map_err(|error| unsent(&error))?;
        let facts = self.guard.check(&mut connection).await.map_err(|unfit| match unfit {
            Unfit::Fault(error) => unsent(&error),
            Unfit::Replica(reason) if self.guard.record.get().is_some() => {
                Fault::Passing { reason, sent: false }
            }
            Unfit::Replica(reason) | Unfit::Refused(reason) => {
                Fault::Final(StoreError::Unavailable(reason))
            }
            Unfit::Foreign(reason) => Fault::Final(StoreError::Corrupt(reason)),
        })?;
        *self.durability.lock().unwrap_or_else(PoisonError::into_inner) = facts.durability.clone();
        line.number += 1;
        line.open = Some((connection.clone(), facts.clone()));
        Ok((line.number, connection, facts))
    }
}

impl Line {
    fn hang_up(&mut self, number: u64) {
        if self.number == number {
            self.open = None;
        }
    }
}

/// Whether a connection that gave this error is of no more use.
fn breaks(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
}

/// What became of a question that met this error.
fn fault(error: &RedisError) -> Fault {
    let reason = error.to_string();
    match error.code() {
        // The server refused to begin: nothing has happened. Soon it may be otherwise.
        Some(
            "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN" | "NOSCRIPT"
            | "READONLY" | "NOREPLICAS" | "UNBLOCKED",
        ) => Fault::Passing { reason, sent: true },
        Some("OOM") => Fault::Final(StoreError::NoSpace),
        Some("MOVED" | "ASK") => {
            let reason = format!(
                "another node of the cluster holds the record's slot; name that one ({reason})"
            );
            Fault::Final(StoreError::Unavailable(reason))
        }
        // A definite answer that no repetition betters: a right that is missing, a key of another type.
        Some(_) => Fault::Final(StoreError::Unavailable(reason)),
        None if error.kind() == ErrorKind::AuthenticationFailed => {
            Fault::Final(StoreError::Unavailable(reason))
        }
        None => Fault::Passing { reason, sent: true },
    }
}

/// The same for a question that was not sent yet.
fn unsent(error: &RedisError) -> Fault {
    match fault(error) {
        // A certificate that is not trusted does not become so. The library gives it as one I/O error among many.
        Fault::Passing { reason, .. } if reason.contains("invalid peer certificate") => {
            Fault::Final(StoreError::Unavailable(reason))
        }
        Fault::Passing { reason, .. } => Fault::Passing { reason, sent: false },
        last => last,
    }
}

/// Between half of a pause and the whole: those who fail together shall not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without random bytes the pause is whole.
    let share = getrandom::fill(&mut byte).map_or(1.0, |()| f64::from(byte[0]) / 255.0);
    pause.mul_f64(0.5 + share / 2.0)
}
