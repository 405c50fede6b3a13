//! What every [`Queue`] does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;
use trainyard_openapi::id::JobId;

use crate::port::queue::{Consumer, Queue, Ticket};

/// How long a ticket that is there may take, on a slow machine too.
const SOON: Duration = Duration::from_secs(60);

/// Holds the queue to its contract. `open` gives an empty queue each time.
///
/// # Panics
/// Where the contract does not hold.
pub async fn holds(open: impl AsyncFn() -> Arc<dyn Queue>) {
    tickets_come_in_order(open().await.as_ref()).await;
    pools_are_apart(open().await.as_ref()).await;
    an_unacknowledged_ticket_goes_back(open().await.as_ref()).await;
    who_gives_up_waiting_takes_nothing(open().await.as_ref()).await;
    each_ticket_goes_to_one(open().await).await;
}

async fn tickets_come_in_order(queue: &dyn Queue) {
    let mut consumer = queue.consume("default").await.unwrap();
    consumer.ack().await.expect("without a ticket it does nothing");
    assert_none(queue, consumer.as_mut(), "default").await;
    let tickets: Vec<Ticket> = (1..=5).map(|seq| ticket("default", seq)).collect();
    for ticket in &tickets {
        queue.publish(ticket).await.unwrap();
    }
    for ticket in &tickets {
        assert_eq!(&take(consumer.as_mut()).await, ticket);
        consumer.ack().await.unwrap();
    }
    assert_none(queue, consumer.as_mut(), "default").await;
    drop(consumer);
    assert_none(queue, queue.consume("default").await.unwrap().as_mut(), "default").await;
}

async fn pools_are_apart(queue: &dyn Queue) {
    let (one, other) = (ticket("one", 1), ticket("other", 1));
    queue.publish(&one).await.unwrap();
    let mut consumer = queue.consume("other").await.unwrap();
    assert_none(queue, consumer.as_mut(), "other").await;
    queue.publish(&other).await.unwrap();
    assert_eq!(take(consumer.as_mut()).await, other);
    assert_eq!(take(queue.consume("one").await.unwrap().as_mut()).await, one);
}

async fn an_unacknowledged_ticket_goes_back(queue: &dyn Queue) {
    let (held, next) = (ticket("default", 1), ticket("default", 2));
    queue.publish(&held).await.unwrap();
    queue.publish(&next).await.unwrap();
    let mut dies = queue.consume("default").await.unwrap();
    assert_eq!(take(dies.as_mut()).await, held);
    let mut lives = queue.consume("default").await.unwrap();
    assert_eq!(take(lives.as_mut()).await, next, "what one holds, another does not get");
    lives.ack().await.unwrap();
    drop(dies);
    assert_eq!(take(lives.as_mut()).await, held);
    lives.ack().await.unwrap();
    drop(lives);
    assert_none(queue, queue.consume("default").await.unwrap().as_mut(), "default").await;
}

async fn who_gives_up_waiting_takes_nothing(queue: &dyn Queue) {
    let mut gives_up = queue.consume("default").await.unwrap();
    let mut waits = queue.consume("default").await.unwrap();
    for seq in 1..=20 {
        assert!(timeout(Duration::from_millis(2), gives_up.next()).await.is_err());
        let ticket = ticket("default", seq);
        let (taken, published) = tokio::join!(take(waits.as_mut()), queue.publish(&ticket));
        published.unwrap();
        assert_eq!(taken, ticket);
        waits.ack().await.unwrap();
    }
}

async fn each_ticket_goes_to_one(queue: Arc<dyn Queue>) {
    const TICKETS: u64 = 200;
    const CONSUMERS: u64 = 4;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let consumers = (0..CONSUMERS).map(|number| {
        let (queue, acknowledged) = (queue.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut deaths = 0;
            let mut consumer = queue.consume("default").await.unwrap();
            while acknowledged.lock().unwrap().len() < TICKETS as usize {
                // Another may take the last ones: then there is nothing to wait for.
                let next = timeout(Duration::from_millis(500), consumer.next()).await;
                let Ok(ticket) = next else { continue };
                let ticket = ticket.unwrap().expect("the stream did not end");
                // Some die with a ticket in hand, which another must get.
                if ticket.seq % 7 == number && deaths < 10 {
                    consumer = queue.consume("default").await.unwrap();
                    tokio::task::yield_now().await;
                    deaths += 1;
                    continue;
                }
                consumer.ack().await.unwrap();
                acknowledged.lock().unwrap().push(ticket.seq);
            }
        })
    });
    let consumers: Vec<_> = consumers.collect();
    for seq in 0..TICKETS {
        queue.publish(&ticket("default", seq)).await.unwrap();
    }
    let ended = timeout(SOON, join_all(consumers)).await.expect("every ticket comes");
    ended.into_iter().for_each(|consumer| consumer.unwrap());
    let mut acknowledged = acknowledged.lock().unwrap().clone();
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (0..TICKETS).collect::<Vec<_>>(), "every ticket once");
    let mut consumer = queue.consume("default").await.unwrap();
    assert_none(queue.as_ref(), consumer.as_mut(), "default").await;
}

fn ticket(pool: &str, seq: u64) -> Ticket {
    Ticket { job: JobId::generate().unwrap(), seq, pool: pool.to_string(), traceparent: None }
}

async fn take(consumer: &mut dyn Consumer) -> Ticket {
    let next = timeout(SOON, consumer.next()).await.expect("a ticket comes");
    next.unwrap().expect("the stream did not end")
}

/// No ticket waits: one that is published now is the next that comes.
async fn assert_none(queue: &dyn Queue, consumer: &mut dyn Consumer, pool: &str) {
    let marker = ticket(pool, u64::MAX);
    queue.publish(&marker).await.unwrap();
    assert_eq!(take(consumer).await, marker, "no other ticket was to come");
    consumer.ack().await.unwrap();
}
