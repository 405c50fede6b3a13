//! What is no ticket of the pool, and tickets that are as good as none.

use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use trainyard_openapi::id::JobId;
use trainyard_scheduler::port::queue::{Queue, Ticket};

use super::broker::Broker;
use super::{DEAD_LETTERS, QUEUE, drain, open, publish, put, stranger, take, ticket};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_ticket_goes_to_the_dead_letters_and_never_comes_back() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let id = JobId::generate().unwrap();
    let garbage = [
        Vec::new(),
        b"\0\xff\xfe".to_vec(),
        b"null".to_vec(),
        b"[1,2,3]".to_vec(),
        b"{}".to_vec(),
        format!("{{\"job\": \"{id}\", \"seq\": 1}}").into_bytes(),
        format!("{{\"job\": \"{id}\", \"seq\": -1, \"pool\": \"default\"}}").into_bytes(),
        format!("{{\"job\": \"{id}\", \"seq\": 1e99, \"pool\": \"default\"}}").into_bytes(),
        br#"{"job": "../../etc/passwd", "seq": 1, "pool": "default"}"#.to_vec(),
        // A ticket of another pool: its executors may lack what the job needs.
        format!("{{\"job\": \"{id}\", \"seq\": 1, \"pool\": \"other\"}}").into_bytes(),
        "[".repeat(100_000).into_bytes(),
        vec![b' '; 3_000_000],
    ];
    for content in &garbage {
        put(&channel, QUEUE, content).await;
    }
    let good = ticket(1);
    publish(&queue, &good).await;
    let mut consumer = queue.consume("default").await.unwrap();
    assert_eq!(take(consumer.as_mut()).await, good, "what lies before it does not stop it");
    consumer.ack().await.unwrap();
    assert_eq!(queue.refused(), garbage.len() as u64);
    assert_eq!(drain(&channel, DEAD_LETTERS, garbage.len()).await, garbage);

    // Not one of them came back.
    let last = ticket(2);
    publish(&queue, &last).await;
    assert_eq!(take(consumer.as_mut()).await, last);
    consumer.ack().await.unwrap();
    assert_eq!(queue.refused(), garbage.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_goes_along_as_a_string_in_the_headers() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = Ticket { traceparent: Some(trace.parse().unwrap()), ..ticket(1) };
    publish(&queue, &traced).await;
    let got = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap().unwrap();
    let headers = got.properties.headers().as_ref().unwrap();
    let header = headers.inner().get("traceparent");
    assert_eq!(header, Some(&AMQPValue::LongString(trace.into())));
    got.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await.unwrap();
    let mut consumer = queue.consume("default").await.unwrap();
    assert_eq!(take(consumer.as_mut()).await, traced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_a_later_version_is_a_ticket() {
    let broker = Broker::start();
    let queue = open(&broker.url()).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let known = ticket(3);
    let mut newer = serde_json::to_value(&known).unwrap();
    newer["what_comes"] = 1.into();
    put(&channel, QUEUE, newer.to_string().as_bytes()).await;
    let mut consumer = queue.consume("default").await.unwrap();
    assert_eq!(take(consumer.as_mut()).await, known);
}
