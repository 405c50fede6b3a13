//! Webhooks: endpoints, events on their way to them, and when each is tried. Nothing here connects: `trainyard-webhooks` does.

mod record;
pub mod schedule;
pub mod secret;
pub mod target;

use std::collections::{HashMap, HashSet};

use trainyard_openapi::id::{DeliveryId, JobId, TenantId, WebhookId};

use crate::trace::TraceParent;

pub use record::{DeliveryRecord, Lane, TimerRecord, WebhookRecord};
pub use target::{Networks, Targets};

/// Deliveries under way to one endpoint at once.
const PER_ENDPOINT_MAX: usize = 4;
/// Deliveries under way for one tenant at once: its endpoints may all hang, and others' deliveries go on.
const PER_TENANT_MAX: usize = 16;

/// A delivery that is due, signed and ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The delivery: the header `webhook-id`.
    pub id: DeliveryId,
    /// The endpoint.
    pub webhook: WebhookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job that it tells of.
    pub job: Option<JobId>,
    /// Attempts before this one.
    pub attempts: u32,
    /// The trace that the job's create request belonged to.
    pub traceparent: Option<TraceParent>,
    /// Where to.
    pub url: String,
    /// The body, byte for byte as it was signed.
    pub body: String,
    /// Unix seconds: the header `webhook-timestamp`.
    pub timestamp: i64,
    /// The header `webhook-signature`: one signature for each secret that holds.
    pub signature: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// For how many seconds it asks to be left alone.
        retry_after_seconds: Option<u64>,
    },
    /// There was no answer, for this reason.
    Unanswered(String),
}

/// Deliveries under way in this process.
#[derive(Debug, Default)]
pub struct InFlight {
    deliveries: HashSet<DeliveryId>,
    endpoints: HashMap<WebhookId, usize>,
    tenants: HashMap<TenantId, usize>,
}

impl InFlight {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether the delivery of `timer` may start beside the others.
    pub(crate) fn has_room(&self, timer: &TimerRecord) -> bool {
        !self.deliveries.contains(&timer.delivery)
            && self.endpoints.get(&timer.webhook).is_none_or(|count| *count < PER_ENDPOINT_MAX)
            && self.tenants.get(&timer.tenant).is_none_or(|count| *count < PER_TENANT_MAX)
    }

    pub(crate) fn add(&mut self, outgoing: &Outgoing) {
        self.deliveries.insert(outgoing.id.clone());
        *self.endpoints.entry(outgoing.webhook.clone()).or_default() += 1;
        *self.tenants.entry(outgoing.tenant.clone()).or_default() += 1;
    }

    /// The delivery is no longer under way.
    pub fn remove(&mut self, outgoing: &Outgoing) {
        if self.deliveries.remove(&outgoing.id) {
            lower(&mut self.endpoints, &outgoing.webhook);
            lower(&mut self.tenants, &outgoing.tenant);
        }
    }
}

fn lower<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
