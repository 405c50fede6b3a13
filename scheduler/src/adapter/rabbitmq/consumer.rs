//! Takes tickets: one at a time, and only while somebody waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, Channel};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::fault::{Fault, answer};
use super::link::{Link, pause};
use super::session::Session;
use super::{message, topology};
use crate::port::queue::{Consumer, QueueError, Ticket};

/// How long is waited for a connection before the caller is told.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// How long one subscription waits. A queue that was replaced under it, or a broker that forgot it, would never be noticed.
const SUBSCRIBED_MAX: Duration = Duration::from_secs(60);

/// A consumer of one pool.
///
/// Each wait is a channel of its own with a prefetch of one, and whoever stops waiting closes it: a run takes hours, and
/// meanwhile no ticket may lie here.
pub(super) struct RabbitConsumer {
    line: Line,
    held: Option<Held>,
}

/// A ticket that waits for its acknowledgement. Where it is dropped instead, the channel ends and the ticket goes back.
struct Held {
    channel: Channel,
    deliveries: lapin::Consumer,
    acker: Acker,
    _session: Arc<Session>,
}

/// What is waited at.
#[derive(Clone)]
struct Line {
    link: Arc<Link>,
    pool: String,
    queue: String,
    refused: Arc<AtomicU64>,
}

impl RabbitConsumer {
    pub(super) fn new(
        link: Arc<Link>,
        pool: String,
        queue: String,
        refused: Arc<AtomicU64>,
    ) -> Self {
        Self { line: Line { link, pool, queue, refused }, held: None }
    }
}

impl Line {
    /// One subscription: a ticket, or `None` where it ended without one.
    async fn wait(self, given_up: CancellationToken) -> Result<Option<(Held, Ticket)>, Fault> {
        let session = tokio::select! {
            session = self.link.session(CONNECT_MAX) => session?,
            () = given_up.cancelled() => return Ok(None),
        };
        let channel = session.channel().await?;
        match self.subscribe(&channel, &given_up).await {
            Ok(Some((deliveries, acker, ticket))) => {
                Ok(Some((Held { channel, deliveries, acker, _session: session }, ticket)))
            }
            other => {
                session.end(channel).await;
                other.map(|_| None)
            }
        }
    }

    async fn subscribe(
        &self,
        channel: &Channel,
        given_up: &CancellationToken,
    ) -> Result<Option<(lapin::Consumer, Acker, Ticket)>, Fault> {
        topology::declare(channel, &self.queue).await?;
        answer("basic.qos", channel.basic_qos(1, BasicQosOptions::default())).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consume =
            channel.basic_consume(self.queue.as_str().into(), "".into(), options, arguments);
        let mut deliveries = answer("basic.consume", consume).await?;
        let until = Instant::now() + SUBSCRIBED_MAX;
        loop {
            let delivery = tokio::select! {
                delivery = timeout_at(until, deliveries.next()) => delivery,
                () = given_up.cancelled() => return Ok(None),
            };
            // The stream ends where the broker cancels: the queue was deleted, or moved.
            let Ok(Some(delivery)) = delivery else { return Ok(None) };
            let delivery = delivery?;
            match message::decode(&delivery.data, &self.pool) {
                Ok(ticket) => return Ok(Some((deliveries, delivery.acker, ticket))),
                Err(reason) => self.refuse(&delivery, &reason).await?,
            }
        }
    }

    /// Sends what is no ticket to the dead letters. It never comes back.
    async fn refuse(&self, delivery: &Delivery, reason: &str) -> Result<(), Fault> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            queue = self.queue,
            dead_letters = topology::DEAD_LETTERS,
            reason,
            "refused what is no ticket"
        );
        let rejected = delivery.acker.reject(BasicRejectOptions { requeue: false });
        answer("basic.reject", rejected).await?;
        Ok(())
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Result<Option<Ticket>, QueueError> {
        self.held = None;
        loop {
            // In a task of its own, which whoever gives up only tells: the client library leaves a channel behind, with the
            // ticket in it, where one of its calls is dropped half-way.
            let given_up = CancellationToken::new();
            let _tells = given_up.clone().drop_guard();
            let waiting = tokio::spawn(self.line.clone().wait(given_up));
            let waited = waiting.await.map_err(|error| QueueError(error.to_string()))?;
            if let Some((held, ticket)) = waited? {
                self.held = Some(held);
                return Ok(Some(ticket));
            }
            sleep(pause(0)).await;
        }
    }

    async fn ack(&mut self) -> Result<(), QueueError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        // Cancelled first: with the acknowledgement the broker would send the next ticket to somebody who is about to be busy.
        let cancel =
            held.channel.basic_cancel(held.deliveries.tag(), BasicCancelOptions::default());
        answer("basic.cancel", cancel).await?;
        let acknowledged = held.acker.ack(BasicAckOptions::default());
        if answer("basic.ack", acknowledged).await? {
            return Ok(());
        }
        Err(QueueError(
            "the channel ended before the acknowledgement: the ticket comes again".into(),
        ))
    }
}
