//! The record in Redis: its contract, and what befalls servers and connections.

mod erasure;
mod faults;
mod guard;
mod kills;
mod lists;
mod power;
mod processes;
mod proxy;
pub(crate) mod server;
mod shard;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trainyard_scheduler::contract;
use trainyard_scheduler::port::store::Store;

use server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn redis_store_holds() {
    let server = Server::durable();
    let opened = AtomicU32::new(0);
    contract::store::holds(async || {
        let namespace = format!("n{}", opened.fetch_add(1, Ordering::SeqCst));
        Arc::new(server.store(&namespace).await) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_news_hold() {
    let server = Server::durable();
    contract::news::holds(async || Arc::new(server.store("shared").await) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_store_survives() {
    let server = tokio::sync::Mutex::new(Server::durable());
    contract::store::survives(async || {
        let mut server = server.lock().await;
        server.kill();
        server.start_again();
        Arc::new(server.store("survives").await) as Arc<dyn Store>
    })
    .await;
}
