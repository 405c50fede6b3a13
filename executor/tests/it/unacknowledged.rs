//! A broker that is gone at the moment of the acknowledgement.

use std::sync::Arc;

use async_trait::async_trait;
use trainyard_openapi::job::JobStatus;
use trainyard_scheduler::adapter::memory::MemoryQueue;
use trainyard_scheduler::port::queue::{Consumer, Queue, QueueError, Ticket};

use crate::bench::Bench;

/// Takes back every ticket instead of forgetting it.
struct LosesAcks(Arc<MemoryQueue>);

#[async_trait]
impl Queue for LosesAcks {
    fn system(&self) -> &'static str {
        "in_process"
    }

    async fn publish(&self, ticket: &Ticket) -> Result<(), QueueError> {
        self.0.publish(ticket).await
    }

    async fn consume(&self, pool: &str) -> Result<Box<dyn Consumer>, QueueError> {
        let inner = Some(self.0.consume(pool).await?);
        Ok(Box::new(LosesThem { queue: Arc::clone(&self.0), pool: pool.to_string(), inner }))
    }
}

struct LosesThem {
    queue: Arc<MemoryQueue>,
    pool: String,
    inner: Option<Box<dyn Consumer>>,
}

#[async_trait]
impl Consumer for LosesThem {
    async fn next(&mut self) -> Result<Option<Ticket>, QueueError> {
        let inner = match self.inner.take() {
            Some(inner) => inner,
            None => self.queue.consume(&self.pool).await?,
        };
        self.inner.insert(inner).next().await
    }

    async fn ack(&mut self) -> Result<(), QueueError> {
        self.inner = None;
        Err(QueueError("the connection ended".to_string()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_job_runs_although_its_ticket_was_not_acknowledged() {
    let queue = Arc::new(LosesAcks(Arc::new(MemoryQueue::new())));
    let bench = Bench::start_on(queue, "complete").await;
    let id = bench.submit().await;
    assert_eq!(bench.ended(&id).await.status, JobStatus::Succeeded);
    let told = bench.messages(&id).await;
    assert!(!told.iter().any(|message| message.contains("lost")), "{told:?}");
    let started = told.iter().filter(|message| message.contains("started")).count();
    assert_eq!(started, 1, "the ticket came again and was stale: {told:?}");
}
