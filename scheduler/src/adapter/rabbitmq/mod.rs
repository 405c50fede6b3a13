//! RabbitMQ as the doorbell: one durable quorum queue per pool, and one for what is no ticket.
//!
//! The store is the record, so nothing here is allowed to hold a job up for long: every wait ends, a connection or channel on
//! which something failed is thrown away and made anew, and a queue that no longer answers is replaced. What is lost by
//! that, the scheduler issues again. Works with RabbitMQ 3.10 and later; uses nothing that 4.x has removed or deprecates.

mod address;
mod consumer;
mod fault;
mod link;
mod message;
mod publisher;
mod session;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::port::queue::{Consumer, Queue, QueueError, Ticket};
use address::Address;
use consumer::RabbitConsumer;
use fault::Fault;
use link::Link;
use publisher::Publisher;
use session::Session;

/// Tickets in RabbitMQ. Publishing and consuming have a connection each, made when first used: a broker that is short of
/// memory or disk stops reading from connections that publish, and acknowledgements must go on.
pub struct RabbitQueue {
    publisher: Publisher,
    consumers: Arc<Link>,
    refused: Arc<AtomicU64>,
}

impl RabbitQueue {
    /// Opens the queues of `pools` at `url`: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` with TLS. A broker that
    /// cannot be reached is no error: it is tried again for as long as it takes.
    ///
    /// # Errors
    /// A URL that is none, and whatever trying again cannot mend, in the operator's words: a wrong password, a virtual host that is
    /// not there, a queue that exists with other arguments.
    pub async fn open(url: &str, pools: &[&str]) -> Result<Self, String> {
        let address = Address::parse(url)?;
        match declare_all(&address, pools).await {
            Ok(()) => {}
            Err(Fault::Refused(reason)) => return Err(reason),
            Err(fault) => {
                tracing::warn!(broker = %address, %fault, "the broker cannot be used yet; trying on");
            }
        }
        Ok(Self {
            publisher: Publisher::new(Link::new(address.clone(), "publishes tickets")),
            consumers: Arc::new(Link::new(address, "consumes tickets")),
            refused: Arc::default(),
        })
    }

    /// Messages that were no tickets of their pool and went to the dead-letter queue, since this was opened.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Declares every queue at the start and not at the first job: a quorum queue that is seconds old may not survive the broker's
/// death.
async fn declare_all(address: &Address, pools: &[&str]) -> Result<(), Fault> {
    let session = Session::open(address, "declares queues").await?;
    let channel = session.channel().await?;
    for pool in pools {
        topology::declare(&channel, &topology::queue_of(pool)?).await?;
    }
    session.end(channel).await;
    session.close().await;
    Ok(())
}

#[async_trait]
impl Queue for RabbitQueue {
    fn system(&self) -> &'static str {
        "rabbitmq"
    }

    async fn publish(&self, ticket: &Ticket) -> Result<(), QueueError> {
        Ok(self.publisher.publish(ticket).await?)
    }

    async fn consume(&self, pool: &str) -> Result<Box<dyn Consumer>, QueueError> {
        let queue = topology::queue_of(pool)?;
        let (link, refused) = (Arc::clone(&self.consumers), Arc::clone(&self.refused));
        Ok(Box::new(RabbitConsumer::new(link, pool.to_string(), queue, refused)))
    }
}
