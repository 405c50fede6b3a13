//! Hands tickets over: mandatory, persistent, and confirmed or it did not happen.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions};
use lapin::{Channel, Confirmation};

use tokio::time::{Instant, timeout};

use super::fault::{ANSWER_MAX, Fault, answer};
use super::link::Link;
use super::session::Session;
use super::{message, topology};
use crate::port::queue::Ticket;

/// Tickets in a row that a queue may leave without an answer or a place. After that, and not sooner than [`DEAD_AFTER`], it is taken
/// to have lost its leader.
const UNSTORED_MAX: u32 = 3;
/// A queue whose broker has just started takes a moment to find its leader.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// How long the broker may take to delete a queue: it first asks members that may be gone.
const DELETE_MAX: Duration = Duration::from_secs(30);

/// Publishes one ticket at a time.
pub(super) struct Publisher {
    link: Link,
    open: tokio::sync::Mutex<Option<Open>>,
    /// By queue: how many tickets in a row, and since when.
    unstored: Mutex<HashMap<String, (u32, Instant)>>,
}

/// A channel on which everything went well so far.
struct Open {
    session: Arc<Session>,
    channel: Channel,
    declared: HashSet<String>,
}

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        Self { link, open: tokio::sync::Mutex::default(), unstored: Mutex::default() }
    }

    /// Returns once the broker has the ticket on disk.
    pub(super) async fn publish(&self, ticket: &Ticket) -> Result<(), Fault> {
        let queue = topology::queue_of(&ticket.pool)?;
        let mut sent = self.send(ticket, &queue).await;
        if let Err(Fault::Returned(reason)) = &sent {
            // Somebody deleted the queue. The next channel declares it again.
            tracing::warn!(queue, reason, "the queue is gone; declaring it again");
            sent = self.send(ticket, &queue).await;
        }
        match &sent {
            Ok(()) => self.alive(&queue),
            Err(Fault::Silent(_) | Fault::Unstored) if self.is_dead(&queue) => {
                self.replace(&queue).await;
            }
            Err(_) => {}
        }
        sent
    }

    async fn send(&self, ticket: &Ticket, queue: &str) -> Result<(), Fault> {
        let mut place = self.open.lock().await;
        // Taken out, and put back only where all went well: late answers cannot be taken for those to the next ticket.
        let mut open = match place.take().filter(|open| open.channel.status().connected()) {
            Some(open) => open,
            None => self.open().await?,
        };
        if let Err(blocked) = open.session.unblocked().await {
            *place = Some(open);
            return Err(blocked);
        }
        match open.send(ticket, queue).await {
            Ok(()) => {
                *place = Some(open);
                Ok(())
            }
            // Blocked only now, and perhaps for a moment: then it is not the queue that gives no answer.
            Err(Fault::Silent(_)) if open.session.is_blocked() => {
                Err(Fault::Blocked("it gave no answer".to_string()))
            }
            Err(fault) => {
                open.session.end(open.channel).await;
                Err(fault)
            }
        }
    }

    async fn open(&self) -> Result<Open, Fault> {
        let session = self.link.session(ANSWER_MAX).await?;
        session.unblocked().await?;
        let channel = session.channel().await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        answer("confirm.select", confirms).await?;
        Ok(Open { session, channel, declared: HashSet::new() })
    }

    fn alive(&self, queue: &str) {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner).remove(queue);
    }

    /// Counts a ticket that the queue did not take; gives whether there were too many.
    fn is_dead(&self, queue: &str) -> bool {
        let mut unstored = self.unstored.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = unstored.entry(queue.to_string()).or_insert((0, Instant::now()));
        *count += 1;
        *count >= UNSTORED_MAX && since.elapsed() >= DEAD_AFTER
    }

    /// Deletes a queue that no longer answers and declares it anew: a quorum queue whose members are gone does not come back. Its
    /// tickets are lost with it and issued again.
    async fn replace(&self, queue: &str) {
        let replaced = async {
            let session = self.link.session(ANSWER_MAX).await?;
            let channel = session.channel().await?;
            let delete = channel.queue_delete(queue.into(), QueueDeleteOptions::default());
            match timeout(DELETE_MAX, delete).await {
                Ok(deleted) => drop(deleted?),
                Err(_) => return Err(Fault::Silent("queue.delete")),
            }
            topology::declare(&channel, queue).await
        };
        match replaced.await {
            Ok(()) => {
                self.alive(queue);
                tracing::error!(
                    queue,
                    "the queue took no tickets: it had lost its leader, and was deleted and declared anew"
                );
            }
            Err(fault) => {
                tracing::error!(queue, %fault, "the queue takes no tickets and could not be replaced")
            }
        }
    }
}

impl Open {
    async fn send(&mut self, ticket: &Ticket, queue: &str) -> Result<(), Fault> {
        if !self.declared.contains(queue) {
            topology::declare(&self.channel, queue).await?;
            self.declared.insert(queue.to_string());
        }
        let content = message::encode(ticket).map_err(|error| Fault::Failed(error.to_string()))?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = message::properties(ticket);
        let confirmation = async {
            self.channel
                .basic_publish("".into(), queue.into(), options, &content, properties)
                .await?
                .await
        };
        match answer("basic.publish", confirmation).await? {
            Confirmation::Ack(None) => Ok(()),
            // Acknowledged and returned: the broker is done with it and has put it nowhere.
            Confirmation::Ack(Some(returned)) => {
                Err(Fault::Returned(returned.reply_text.to_string()))
            }
            Confirmation::Nack(_) => Err(Fault::Unstored),
            Confirmation::NotRequested => Err(Fault::Failed("the channel confirms nothing".into())),
        }
    }
}
