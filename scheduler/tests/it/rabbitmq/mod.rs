//! RabbitMQ: the contract of a queue, and everything that a broker can do to one.

pub(crate) mod broker;
mod proxy;

mod disasters;
mod garbage;
mod jobs;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use trainyard_openapi::id::JobId;
use trainyard_scheduler::adapter::rabbitmq::RabbitQueue;
use trainyard_scheduler::contract;
use trainyard_scheduler::port::queue::{Consumer, Queue, QueueError, Ticket};

use broker::Broker;

/// A guard against hanging: nothing here takes that long.
const GUARD: Duration = Duration::from_secs(240);
const QUEUE: &str = "trainyard.tickets.default";
const DEAD_LETTERS: &str = "trainyard.dead-letters";

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_queue_holds() {
    let broker = std::sync::Mutex::new(Broker::start());
    contract::queue::holds(async || {
        let url = {
            let mut broker = broker.lock().unwrap();
            let vhost = broker.new_vhost();
            broker.url_of(broker.port, &vhost)
        };
        Arc::new(open(&url).await) as Arc<dyn Queue>
    })
    .await;
}

async fn open(url: &str) -> RabbitQueue {
    RabbitQueue::open(url, &["default"]).await.unwrap()
}

fn ticket(seq: u64) -> Ticket {
    Ticket { job: JobId::generate().unwrap(), seq, pool: "default".to_string(), traceparent: None }
}

/// Publishes as the scheduler's loop does: again until it is confirmed. Gives how many times it was not.
async fn publish(queue: &RabbitQueue, ticket: &Ticket) -> u32 {
    let mut failures = 0;
    let published = async {
        while let Err(QueueError(reason)) = queue.publish(ticket).await {
            failures += 1;
            println!("not published: {reason}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(GUARD, published).await.expect("the ticket is published at last");
    failures
}

/// Takes as an executor does: consumes again until a ticket comes.
async fn take(consumer: &mut dyn Consumer) -> Ticket {
    let taken = async {
        loop {
            match consumer.next().await {
                Ok(Some(ticket)) => return ticket,
                other => println!("no ticket: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(GUARD, taken).await.expect("a ticket comes")
}

/// Somebody else on the same broker.
async fn stranger(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

/// Puts bytes into a queue.
async fn put(channel: &Channel, queue: &str, content: &[u8]) {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel.basic_publish(
        "".into(),
        queue.into(),
        options,
        content,
        BasicProperties::default(),
    );
    let confirmation = confirm.await.unwrap().await.unwrap();
    assert!(confirmation.is_ack() && confirmation.take_message().is_none());
}

/// Takes `count` messages out of a queue, waiting for those that are on their way.
async fn drain(channel: &Channel, queue: &str, count: usize) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    let all = async {
        while contents.len() < count {
            match channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
                Some(message) => {
                    message.ack(BasicAckOptions::default()).await.unwrap();
                    contents.push(message.delivery.data);
                }
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(GUARD, all).await.expect("the messages come");
    contents
}
