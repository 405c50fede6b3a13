//! What is stored of webhooks.
//!
//! A delivery lies in the scope of its endpoint, where clients list it. When it is tried is a record of its own, its timer, in
//! the scope of a lane: see [`Lane`]. Both are written in one change.

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::{DeliveryId, JobId, TenantId, WebhookId};
use trainyard_openapi::webhook::{DeliveryStatus, EventType, SigningSecret};

use super::schedule::{self, DELAYS_MS, KEPT_MS};
use crate::port::document::{Document, Kind};
use crate::trace::TraceParent;

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRecord {
    /// The id.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The one job that it hears of; all of the tenant where there is none.
    pub job: Option<JobId>,
    /// Where to.
    pub url: String,
    /// A text for people.
    pub description: Option<String>,
    /// Which events; all where there is none.
    pub events: Option<Vec<EventType>>,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why the server disabled it.
    pub disabled_reason: Option<String>,
    /// What signs.
    pub secret: SigningSecret,
    /// What signs too until that time, in Unix milliseconds.
    pub old_secret: Option<(SigningSecret, i64)>,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

impl WebhookRecord {
    /// Whether it is told of `event`.
    pub fn wants(&self, event: EventType) -> bool {
        self.enabled && self.events.as_ref().is_none_or(|events| events.contains(&event))
    }
}

impl Document for WebhookRecord {
    const KIND: Kind = Kind::Webhook;

    fn id(&self) -> String {
        self.id.to_string()
    }

    /// The job, or else the tenant: their ids never meet.
    fn scope(&self) -> String {
        self.job.as_ref().map_or_else(|| self.tenant.to_string(), ToString::to_string)
    }
}

/// An event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The id, the same at every attempt.
    pub id: DeliveryId,
    /// The endpoint.
    pub webhook: WebhookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job that it happened to.
    pub job: Option<JobId>,
    /// What happened.
    pub event: EventType,
    /// The body as it is signed.
    pub body: String,
    /// How far it is.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// The HTTP status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it is tried next, or when it ended, in Unix milliseconds.
    pub at_ms: i64,
    /// The lane of its timer.
    pub lane: Lane,
    /// When it happened, in Unix milliseconds.
    pub created_at_ms: i64,
    /// The trace that the job's create request belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
}

impl Document for DeliveryRecord {
    const KIND: Kind = Kind::Delivery;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn scope(&self) -> String {
        self.webhook.to_string()
    }
}

/// Timers that wait equally long at least. A list is in the order of writing, so in a lane nothing behind a timer comes due
/// before that timer's earliest time: a look for what is due ends there, however long the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Before the first attempt.
    New,
    /// Waits by the delay of this place in the schedule.
    Retry(usize),
    /// Waits for the last attempt, at the end of the schedule.
    Last,
    /// Ended; removed when nobody asks for it any more.
    Ended,
}

impl Lane {
    /// All in which something waits to be sent. New events first.
    pub fn waiting() -> impl Iterator<Item = Self> {
        let retries = (0..DELAYS_MS.len()).map(Self::Retry);
        [Self::New].into_iter().chain(retries).chain([Self::Last])
    }

    /// The word in the store.
    pub fn scope(self) -> String {
        match self {
            Self::New => "new".to_string(),
            Self::Retry(place) => format!("retry-{place}"),
            Self::Last => "last".to_string(),
            Self::Ended => "ended".to_string(),
        }
    }

    /// How long everything in it waits at least, in milliseconds.
    pub fn wait_ms(self) -> i64 {
        match self {
            Self::New | Self::Last => 0,
            Self::Retry(place) => schedule::delay_ms(place),
            Self::Ended => KEPT_MS,
        }
    }
}

/// When a delivery is looked at next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerRecord {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The endpoint.
    pub webhook: WebhookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its lane.
    pub lane: Lane,
    /// When it was put there, in Unix milliseconds.
    pub since_ms: i64,
    /// When it is due, in Unix milliseconds.
    pub due_ms: i64,
    /// Attempts before it.
    pub attempts: u32,
}

impl TimerRecord {
    /// The timer of a delivery that came to its lane at `now_ms`.
    pub fn of(delivery: &DeliveryRecord, now_ms: i64) -> Self {
        let ended = delivery.lane == Lane::Ended;
        Self {
            delivery: delivery.id.clone(),
            webhook: delivery.webhook.clone(),
            tenant: delivery.tenant.clone(),
            lane: delivery.lane,
            since_ms: now_ms,
            due_ms: if ended { delivery.at_ms + KEPT_MS } else { delivery.at_ms },
            attempts: delivery.attempts,
        }
    }

    /// Whether it is this delivery's present timer.
    pub fn is_of(&self, delivery: &DeliveryRecord) -> bool {
        (self.attempts, self.lane) == (delivery.attempts, delivery.lane)
    }
}

impl Document for TimerRecord {
    const KIND: Kind = Kind::DeliveryTimer;

    /// Every wait is a new record, so that it comes last in its lane.
    fn id(&self) -> String {
        format!("{}.{}.{}", self.delivery, self.attempts, self.lane.scope())
    }

    fn scope(&self) -> String {
        self.lane.scope()
    }
}
