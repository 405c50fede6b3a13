//! What a broker can do to a queue: die, lose it, replace it, go silent. A ticket that is confirmed may be lost, doubled or late;
//! the queue itself always works again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{QueueDeleteOptions, QueuePurgeOptions};
use tokio::task::JoinSet;
use trainyard_scheduler::port::queue::Queue;

use super::broker::Broker;
use super::proxy::Proxy;
use super::{DEAD_LETTERS, QUEUE, drain, open, publish, stranger, take, ticket};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_is_found_again_by_publisher_and_consumer() {
    const TICKETS: u64 = 40;
    let mut broker = Broker::start();
    let queue = Arc::new(open(&broker.url()).await);
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let mut consuming = JoinSet::new();
    consuming.spawn({
        let (queue, seen) = (Arc::clone(&queue), Arc::clone(&seen));
        async move {
            let mut consumer = queue.consume("default").await.unwrap();
            loop {
                let ticket = take(consumer.as_mut()).await;
                seen.lock().unwrap().insert(ticket.seq);
                if let Err(error) = consumer.ack().await {
                    println!("not acknowledged: {error}");
                }
            }
        }
    });
    let mut unconfirmed = 0;
    for seq in 0..TICKETS {
        if seq == 10 {
            broker.settle().await;
            broker.kill();
            broker.start_again();
        }
        unconfirmed += publish(&queue, &ticket(seq)).await;
    }
    // What lay in a queue that had to be replaced is lost; the scheduler issues it again, and so does this.
    let mut again = 0;
    while seen.lock().unwrap().len() < TICKETS as usize {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let lost: Vec<u64> =
            (0..TICKETS).filter(|seq| !seen.lock().unwrap().contains(seq)).collect();
        for seq in lost {
            publish(&queue, &ticket(seq)).await;
            again += 1;
        }
    }
    println!("killed once, {TICKETS} tickets, {unconfirmed} not confirmed at first, {again} again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_purged_or_deleted_works_on() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let mut consumer = queue.consume("default").await.unwrap();

    publish(&queue, &ticket(1)).await;
    channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await.unwrap();
    let after = ticket(2);
    publish(&queue, &after).await;
    assert_eq!(take(consumer.as_mut()).await, after);
    consumer.ack().await.unwrap();

    // Deleted while nobody waits: the publisher's channel still thinks that it is there.
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    let after = ticket(3);
    assert_eq!(queue.publish(&after).await.map_err(|error| error.to_string()), Ok(()));
    assert_eq!(take(consumer.as_mut()).await, after);
    consumer.ack().await.unwrap();

    // Deleted under a consumer that waits: the broker cancels it, and it consumes anew.
    let waits = tokio::spawn(async move { take(consumer.as_mut()).await });
    wait_until(|| broker.ctl(&["list_consumers", "queue_name"]).contains(QUEUE)).await;
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    wait_until(|| broker.ctl(&["list_consumers", "queue_name"]).contains(QUEUE)).await;
    let after = ticket(4);
    publish(&queue, &after).await;
    assert_eq!(waits.await.unwrap(), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_broker_gets_its_queues_again() {
    let mut broker = Broker::start();
    let queue = open(&broker.url()).await;
    let mut consumer = queue.consume("default").await.unwrap();
    publish(&queue, &ticket(1)).await;
    broker.kill();
    broker.wipe();
    broker.start_again();
    let after = ticket(2);
    publish(&queue, &after).await;
    assert_eq!(take(consumer.as_mut()).await, after, "the first is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_lost_its_leader_is_replaced() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let mut consumer = queue.consume("default").await.unwrap();
    let before = ticket(1);
    publish(&queue, &before).await;
    assert_eq!(take(consumer.as_mut()).await, before);
    consumer.ack().await.unwrap();
    // As after a death too soon after the declaration: the queue is there and nobody leads it.
    broker.ctl(&["eval", &format!("ra:stop_server(quorum_queues, {{'%2F_{QUEUE}', node()}}).")]);
    let after = ticket(2);
    assert!(publish(&queue, &after).await >= 3, "the queue was not dead");
    assert_eq!(take(consumer.as_mut()).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_connection_is_told_of_and_holds_up_no_acknowledgement() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let (held, mut consumer) = (ticket(1), queue.consume("default").await.unwrap());
    publish(&queue, &held).await;
    assert_eq!(take(consumer.as_mut()).await, held);
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    let said = tokio::time::timeout(super::GUARD, async {
        loop {
            match queue.publish(&ticket(2)).await {
                // The alarm takes a moment.
                Ok(()) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => break error.to_string(),
            }
        }
    });
    let said = said.await.unwrap();
    assert!(said.contains("the broker blocks publishing"), "{said}");
    let said = queue.publish(&ticket(3)).await.unwrap_err().to_string();
    assert!(said.contains("blocks publishing: low on memory"), "{said}");
    consumer.ack().await.expect("acknowledgements go on");
    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    publish(&queue, &ticket(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_that_is_lost_with_its_connection_is_no_success() {
    let broker = Broker::start();
    let proxy = Proxy::to(broker.port).await;
    let queue = open(&broker.url_of(proxy.port, "")).await;
    publish(&queue, &ticket(1)).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    assert_eq!(drain(&channel, QUEUE, 1).await.len(), 1);

    // The ticket arrives; its confirm does not.
    proxy.set_deaf(true);
    let twice = ticket(2);
    let (published, arrived) = tokio::join!(queue.publish(&twice), async {
        let arrived = drain(&channel, QUEUE, 1).await;
        proxy.cut();
        arrived
    });
    proxy.set_deaf(false);
    let said = published.unwrap_err();
    println!("not confirmed: {said}");
    publish(&queue, &twice).await;
    assert_eq!(drain(&channel, QUEUE, 1).await, arrived, "the same ticket, twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_sign_of_life_is_given_up() {
    let broker = Broker::start();
    let proxy = Proxy::to(broker.port).await;
    let queue = open(&format!("{}?heartbeat=2", broker.url_of(proxy.port, ""))).await;
    let mut consumer = queue.consume("default").await.unwrap();
    let waits = tokio::spawn(async move { (consumer.next().await, consumer) });
    wait_until(|| broker.ctl(&["list_consumers", "queue_name"]).contains(QUEUE)).await;
    // Nothing comes from the broker any more, and nothing ends.
    proxy.set_deaf(true);
    let (waited, mut consumer) = tokio::time::timeout(super::GUARD, waits).await.unwrap().unwrap();
    let said = waited.unwrap_err().to_string();
    assert!(said.contains("no heartbeat received"), "{said}");
    proxy.set_deaf(false);
    let sent = ticket(1);
    publish(&queue, &sent).await;
    assert_eq!(take(consumer.as_mut()).await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let mut consumer = queue.consume("default").await.unwrap();
    for millis in 0..100 {
        let wait = Duration::from_millis(millis % 20);
        let _ = tokio::time::timeout(wait, consumer.next()).await;
    }
    wait_until(|| broker.ctl(&["list_channels", "pid"]).trim().is_empty()).await;
    let sent = ticket(1);
    publish(&queue, &sent).await;
    assert_eq!(take(consumer.as_mut()).await, sent);
    consumer.ack().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_nobody_ever_acknowledges_ends_in_the_dead_letters() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let sent = ticket(1);
    publish(&queue, &sent).await;
    for _ in 0..=20 {
        let mut dies = queue.consume("default").await.unwrap();
        assert_eq!(take(dies.as_mut()).await, sent);
    }
    let dead = drain(&channel, DEAD_LETTERS, 1).await;
    assert_eq!(dead, [serde_json::to_vec(&sent).unwrap()]);
}

/// Waits for something that the broker does in its own time.
async fn wait_until(mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::GUARD, waiting).await.expect("it happens");
}
