//! A queue of tickets. What it held when the process ended, the scheduler issues again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::port::queue::{Consumer, Queue, QueueError, Ticket};

/// Tickets by pool.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    pools: Mutex<HashMap<String, Arc<Line>>>,
}

/// The tickets of one pool.
#[derive(Debug, Default)]
struct Line {
    tickets: Mutex<VecDeque<Ticket>>,
    arrived: Notify,
}

impl Line {
    fn push(&self, ticket: Ticket, first: bool) {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if first {
            tickets.push_front(ticket)
        } else {
            tickets.push_back(ticket)
        }
        drop(tickets);
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Ticket> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    fn line(&self, pool: &str) -> Arc<Line> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pools.entry(pool.to_string()).or_default())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn system(&self) -> &'static str {
        "in_process"
    }

    async fn publish(&self, ticket: &Ticket) -> Result<(), QueueError> {
        self.line(&ticket.pool).push(ticket.clone(), false);
        Ok(())
    }

    async fn consume(&self, pool: &str) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(MemoryConsumer { line: self.line(pool), held: None }))
    }
}

/// Holds at most one ticket; gives it back when dropped.
struct MemoryConsumer {
    line: Arc<Line>,
    held: Option<Ticket>,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Result<Option<Ticket>, QueueError> {
        if let Some(unacknowledged) = self.held.take() {
            self.line.push(unacknowledged, true);
        }
        loop {
            let arrived = self.line.arrived.notified();
            if let Some(ticket) = self.line.pop() {
                self.held = Some(ticket.clone());
                return Ok(Some(ticket));
            }
            arrived.await;
        }
    }

    async fn ack(&mut self) -> Result<(), QueueError> {
        self.held = None;
        // One notification may have stood for several tickets: pass it on.
        self.line.arrived.notify_one();
        Ok(())
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        if let Some(ticket) = self.held.take() {
            self.line.push(ticket, true);
        }
    }
}
