//! A broker that does not take us as we are configured, or cannot be reached: what the operator is told.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use trainyard_scheduler::adapter::open_queue;
use trainyard_scheduler::adapter::rabbitmq::RabbitQueue;
use trainyard_scheduler::port::queue::Queue;

use super::broker::Broker;
use super::{QUEUE, open, publish, stranger, take, ticket};

/// What `open` says of a URL that does not work. No password is in it.
async fn refusal(url: &str) -> String {
    let refused = open_queue(url, &["default"]).await.err();
    let refusal = refused.unwrap_or_else(|| panic!("'{url}' was taken")).to_string();
    for password in Broker::passwords().into_iter().chain(["wrong"]) {
        assert!(!refusal.contains(&format!(":{password}")), "{refusal}");
    }
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn what_trying_again_cannot_mend_is_said_at_the_start() {
    let mut broker = Broker::start();
    let said = refusal(&format!("amqp://trainyard:wrong@127.0.0.1:{}/", broker.port)).await;
    assert!(said.contains("ACCESS_REFUSED") && said.contains("check user, password"), "{said}");
    assert!(said.contains("amqp://trainyard:***@127.0.0.1"), "{said}");

    let said = refusal(&broker.url_of(broker.port, "nowhere")).await;
    assert!(said.contains("'nowhere'") || said.contains("nowhere not found"), "{said}");
    assert!(said.contains("check the virtual host"), "{said}");

    let vhost = broker.new_vhost();
    broker.ctl(&["clear_permissions", "-p", &vhost, "trainyard"]);
    let said = refusal(&broker.url_of(broker.port, &vhost)).await;
    assert!(said.contains(&vhost) && said.contains("permissions"), "{said}");
    broker.ctl(&["set_permissions", "-p", &vhost, "trainyard", "^$", ".*", ".*"]);
    let said = refusal(&broker.url_of(broker.port, &vhost)).await;
    assert!(said.contains("ACCESS_REFUSED") && said.contains("permissions"), "{said}");

    for url in ["amqp://", "amqp:", "amqp:///a", "amqp://host:99999", "amqp://h/a?heartbeat=soon"] {
        let said = refusal(url).await;
        assert!(said.starts_with(&format!("queue '{url}': ")), "{said}");
    }
    let long = "p".repeat(300);
    let said = RabbitQueue::open(&broker.url(), &[&long]).await.err().expect("refused");
    assert!(said.contains("300 bytes") && said.contains("at most 237"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_refused_with_what_to_do() {
    let broker = Broker::start();
    let (_connection, channel) = stranger(&broker.url()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    let said = refusal(&broker.url()).await;
    assert!(said.contains("PRECONDITION_FAILED") && said.contains(QUEUE), "{said}");
    assert!(said.contains("rabbitmqctl delete_queue"), "{said}");

    // As the message says.
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    let queue = open(&broker.url()).await;
    let (sent, mut consumer) = (ticket(1), queue.consume("default").await.unwrap());
    publish(&queue, &sent).await;
    assert_eq!(take(consumer.as_mut()).await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut broker = Broker::start();
    broker.kill();
    let queue = open(&broker.url()).await;
    let said = queue.publish(&ticket(1)).await.unwrap_err().to_string();
    assert!(said.contains("is not connected") && said.contains("refused"), "{said}");
    assert!(said.contains("amqp://trainyard:***@127.0.0.1"), "{said}");
    broker.start_again();
    let (sent, mut consumer) = (ticket(2), queue.consume("default").await.unwrap());
    publish(&queue, &sent).await;
    assert_eq!(take(consumer.as_mut()).await, sent);
}
