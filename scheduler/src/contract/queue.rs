//! What every [`Queue`] does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;
use trainyard_openapi::id::JobId;

use crate::port::queue::{Consumer, Queue, Ticket};

/// How long a ticket that is there may take.
const SOON: Duration = Duration::from_secs(10);
/// How long is waited for a ticket that must not come.
const NEVER: Duration = Duration::from_millis(100);

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
    assert_none(consumer.as_mut()).await;
    let tickets: Vec<Ticket> = (1..=5).map(|seq| ticket("default", seq)).collect();
    for ticket in &tickets {
        queue.publish(ticket).await.unwrap();
    }
    for ticket in &tickets {
        assert_eq!(&take(consumer.as_mut()).await, ticket);
        consumer.ack().await.unwrap();
    }
    assert_none(consumer.as_mut()).await;
    drop(consumer);
    assert_none(queue.consume("default").await.unwrap().as_mut()).await;
}

async fn pools_are_apart(queue: &dyn Queue) {
    let (one, other) = (ticket("one", 1), ticket("other", 1));
    queue.publish(&one).await.unwrap();
    let mut consumer = queue.consume("other").await.unwrap();
    assert_none(consumer.as_mut()).await;
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
    assert_none(queue.consume("default").await.unwrap().as_mut()).await;
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
    let consumers = (0..CONSUMERS).map(|number| {
        let queue = queue.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            let mut consumer = queue.consume("default").await.unwrap();
            while let Ok(ticket) = timeout(Duration::from_millis(500), consumer.next()).await {
                let ticket = ticket.unwrap().expect("the stream did not end");
                // Some die with a ticket in hand, which another must get.
                if ticket.seq % 7 == number && taken.len() < 10 {
                    consumer = queue.consume("default").await.unwrap();
                    tokio::task::yield_now().await;
                    taken.push(None);
                    continue;
                }
                consumer.ack().await.unwrap();
                taken.push(Some(ticket));
            }
            taken
        })
    });
    let consumers: Vec<_> = consumers.collect();
    let published: Vec<Ticket> = (0..TICKETS).map(|seq| ticket("default", seq)).collect();
    for ticket in &published {
        queue.publish(ticket).await.unwrap();
    }
    let taken = join_all(consumers).await.into_iter().flat_map(|taken| taken.unwrap()).flatten();
    let taken: Vec<u64> = taken.map(|ticket| ticket.seq).collect();
    let distinct: BTreeSet<u64> = taken.iter().copied().collect();
    assert_eq!(distinct, (0..TICKETS).collect(), "every ticket came");
    assert_eq!(taken.len(), distinct.len(), "no acknowledged ticket came again");
}

fn ticket(pool: &str, seq: u64) -> Ticket {
    Ticket { job: JobId::generate().unwrap(), seq, pool: pool.to_string() }
}

async fn take(consumer: &mut dyn Consumer) -> Ticket {
    let next = timeout(SOON, consumer.next()).await.expect("a ticket comes");
    next.unwrap().expect("the stream did not end")
}

async fn assert_none(consumer: &mut dyn Consumer) {
    let next = timeout(NEVER, consumer.next()).await;
    assert!(next.is_err(), "no ticket was to come, but {next:?}");
}
