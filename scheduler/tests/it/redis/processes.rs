//! Several processes on one record: each hears at once what another did, also after the server was away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use trainyard_openapi::job::JobStatus;

use super::server::{Server, named};
use crate::world::{World, config};
use trainyard_scheduler::adapter::redis::RedisStore;

/// Only a hang guard.
const SOON: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread")]
async fn one_process_dispatches_what_another_took_in() {
    let mut server = Server::durable();
    let mut slow = config(1);
    // Only word of the other process can bring a job forward in this test's time.
    slow.tick = Duration::from_secs(3600);
    let clients = World::in_redis(&server, "shared", slow).await;
    let clock = Some(clients.clock.clone() as Arc<dyn trainyard_scheduler::clock::Clock>);
    let store = RedisStore::open_with_clock(&server.url(), &named("shared"), clock).await.unwrap();
    let dispatcher = clients.beside(Arc::new(store));
    let stop = CancellationToken::new();
    let loops = tokio::spawn({
        let (dispatcher, stop) = (dispatcher.clone(), stop.clone());
        async move { dispatcher.run(stop).await }
    });
    for away in [false, false, true] {
        if away {
            server.kill();
            tokio::task::block_in_place(|| server.start_again());
        }
        let id = clients.submit().await;
        let mut consumer = clients.queue.consume("default").await.unwrap();
        let ticket = timeout(SOON, consumer.next()).await.unwrap().unwrap().unwrap();
        consumer.ack().await.unwrap();
        assert_eq!(ticket.job, id);
        let mut news = dispatcher.news();
        let run = clients.claim(&ticket).await.unwrap();
        timeout(SOON, news.of(&id)).await.expect("word of the claim");
        run.complete().await.unwrap();
        timeout(SOON, news.of(&id)).await.expect("word of the end");
        assert_eq!(clients.status(&id).await, JobStatus::Succeeded);
    }
    stop.cancel();
    timeout(SOON, loops).await.unwrap().unwrap();
}
