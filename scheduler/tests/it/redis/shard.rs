//! A shard of a cluster as the record's server: no script reaches beyond the one slot that the namespace names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trainyard_scheduler::contract;
use trainyard_scheduler::port::store::Store;

use super::server::{DURABLE, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_fits_a_cluster_because_it_has_one_slot() {
    let mut settings = DURABLE.to_vec();
    settings.extend(["--cluster-enabled", "yes"]);
    let server = Server::with(&settings);
    server.say(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    while !server.say(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let opened = AtomicU32::new(0);
    contract::store::holds(async || {
        let namespace = format!("n{}", opened.fetch_add(1, Ordering::SeqCst));
        Arc::new(server.store(&namespace).await) as Arc<dyn Store>
    })
    .await;
}
