//! The outbox of webhooks: events are written with the transition that they tell of, and taken out once they are delivered.
//!
//! A delivery is sent at least once: a process that dies between answer and record sends it again under the same id.

use serde_json::json;
use trainyard_openapi::id::{DeliveryId, JobId};
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::webhook::{DeliveryStatus, EventType};

use super::documents::json as as_internal;
use super::webhooks::host_of;
use super::{CONFLICTS_MAX, Scheduler};
use crate::audit::AuditEntry;
use crate::error::{Result, SchedulerError};
use crate::port::document::{Change, Document};
use crate::port::store::{Commit, StoreError};
use crate::webhook::{
    DeliveryRecord, InFlight, Lane, Outcome, Outgoing, TimerRecord, WebhookRecord, schedule, secret,
};

/// Timers that are read at once.
const PAGE: u32 = 200;
/// Endpoints that are read at once: more than a tenant can have.
const ENDPOINTS: u32 = 1_000;

impl Scheduler {
    /// Adds to the commit what the endpoints are to hear of it; gives whether there was any. `own` is the endpoint of a job that is
    /// only being made.
    pub(super) async fn announce(
        &self,
        commit: &mut Commit,
        event: EventType,
        own: Option<&WebhookRecord>,
        now_ms: i64,
    ) -> Result<bool> {
        let page = PageRequest { after: None, limit: ENDPOINTS, order: Order::Asc };
        let tenant = commit.job.tenant.as_str();
        let (mut endpoints, _) = self.documents::<WebhookRecord>(tenant, &page).await?;
        match own {
            Some(own) => endpoints.push(own.clone()),
            None if commit.job.webhook.is_some() => {
                endpoints.extend(self.documents(commit.job.id.as_str(), &page).await?.0);
            }
            None => {}
        }
        let mut any = false;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.wants(event)) {
            let mut delivery = new_delivery(endpoint, event, Some(&commit.job.id), now_ms)?;
            delivery.traceparent = commit.job.traceparent.clone();
            let timer = TimerRecord::of(&delivery, now_ms);
            let also = std::mem::take(&mut commit.also).put(&delivery, 1);
            commit.also = also.and_then(|also| also.put(&timer, 1)).map_err(as_internal)?;
            any = true;
        }
        Ok(any)
    }

    /// Waits until something new is there to be delivered.
    pub async fn announced(&self) {
        self.inner.announced.notified().await;
    }

    /// Deliveries that are due, at most `limit`, and that have room beside those in flight, among which they are counted from now on.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn due_deliveries(
        &self,
        in_flight: &mut InFlight,
        limit: usize,
    ) -> Result<Vec<Outgoing>> {
        let now_ms = self.store().now_ms().await?;
        let mut due = Vec::new();
        for lane in Lane::waiting() {
            if due.len() < limit {
                self.due_of(lane, now_ms, limit, in_flight, &mut due).await?;
            }
        }
        Ok(due)
    }

    async fn due_of(
        &self,
        lane: Lane,
        now_ms: i64,
        limit: usize,
        in_flight: &mut InFlight,
        due: &mut Vec<Outgoing>,
    ) -> Result<()> {
        let mut page = PageRequest { after: None, limit: PAGE, order: Order::Asc };
        loop {
            let (timers, more) = self.timers(lane, &page).await?;
            for timer in &timers {
                if timer.since_ms + lane.wait_ms() > now_ms || due.len() >= limit {
                    return Ok(());
                }
                if timer.due_ms <= now_ms
                    && in_flight.has_room(timer)
                    && let Some(outgoing) = self.prepare(timer, now_ms).await?
                {
                    in_flight.add(&outgoing);
                    due.push(outgoing);
                }
            }
            page.after = timers.last().map(Document::id);
            if !more || page.after.is_none() {
                return Ok(());
            }
        }
    }

    /// A page of a lane. Where the timer that it should begin after was settled meanwhile, the next look finds the rest.
    async fn timers(&self, lane: Lane, page: &PageRequest) -> Result<(Vec<TimerRecord>, bool)> {
        match self.documents::<TimerRecord>(&lane.scope(), page).await {
            Err(SchedulerError::Store(StoreError::UnknownCursor(_))) => Ok((Vec::new(), false)),
            answer => answer,
        }
    }

    /// Signs a delivery. One that has nowhere to go is ended instead.
    async fn prepare(&self, timer: &TimerRecord, now_ms: i64) -> Result<Option<Outgoing>> {
        let found = self.document::<DeliveryRecord>(timer.delivery.as_str()).await?;
        let Some((delivery, rev)) = found.filter(|(record, _)| timer.is_of(record)) else {
            // Settled since the list was read.
            return Ok(None);
        };
        let endpoint = self.document::<WebhookRecord>(delivery.webhook.as_str()).await?;
        let endpoint = match endpoint {
            Some((endpoint, _)) if endpoint.enabled => endpoint,
            other => {
                let gone = if other.is_some() { "disabled" } else { "deleted" };
                let text = format!("the webhook was {gone} before the event was delivered");
                let mut ended = delivery.clone();
                ended.end(DeliveryStatus::Failed, Some(text), now_ms);
                self.settle(&delivery, &ended, rev, Change::none(), now_ms).await?;
                return Ok(None);
            }
        };
        let timestamp = now_ms / 1000;
        let old = endpoint.old_secret.iter().filter(|(_, until_ms)| now_ms < *until_ms);
        let secrets = std::iter::once(&endpoint.secret).chain(old.map(|(secret, _)| secret));
        let signatures = secrets
            .map(|secret| secret::sign(secret, delivery.id.as_str(), timestamp, &delivery.body))
            .collect::<Result<Vec<_>, _>>()
            .map_err(SchedulerError::Internal)?;
        Ok(Some(Outgoing {
            id: delivery.id,
            webhook: delivery.webhook,
            tenant: delivery.tenant,
            job: delivery.job,
            attempts: delivery.attempts,
            traceparent: delivery.traceparent,
            url: endpoint.url,
            body: delivery.body,
            timestamp,
            signature: signatures.join(" "),
        }))
    }

    /// Records what came of an attempt: delivered, to be tried again, or given up. A 410 disables the endpoint.
    ///
    /// # Errors
    /// Where the store does not answer; the delivery is then sent again.
    pub async fn delivery_result(&self, id: &DeliveryId, outcome: &Outcome) -> Result<()> {
        for _ in 0..CONFLICTS_MAX {
            let Some((delivery, rev)) = self.document::<DeliveryRecord>(id.as_str()).await? else {
                return Ok(());
            };
            if delivery.status != DeliveryStatus::Pending {
                return Ok(());
            }
            let now_ms = self.store().now_ms().await?;
            let mut after = delivery.clone();
            after.attempts += 1;
            let mut also = Change::none();
            match outcome {
                Outcome::Answered { status, .. } if (200..300).contains(status) => {
                    after.last_status = Some(*status);
                    after.end(DeliveryStatus::Delivered, None, now_ms);
                }
                Outcome::Answered { status: 410, .. } => {
                    after.last_status = Some(410);
                    let text = "the endpoint answered with status 410 (gone)".to_string();
                    also = self.disabled(&delivery, &text, now_ms).await?;
                    after.end(DeliveryStatus::Failed, Some(text), now_ms);
                }
                Outcome::Answered { status, retry_after_seconds } => {
                    after.last_status = Some(*status);
                    let redirect = (300..400).contains(status);
                    let more = if redirect { ", a redirect, which is not followed" } else { "" };
                    let text = format!("the endpoint answered with status {status}{more}");
                    let asked = retry_after_seconds.filter(|_| matches!(status, 429 | 503));
                    after.retry(text, asked, chance()?, now_ms);
                }
                Outcome::Unanswered(reason) => {
                    after.last_status = None;
                    after.retry(reason.clone(), None, chance()?, now_ms);
                }
            }
            if self.settle(&delivery, &after, rev, also, now_ms).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(format!("delivery {id} changes too fast")).into())
    }

    /// Writes a delivery with its new timer in place of the old one; whether nobody was faster.
    async fn settle(
        &self,
        before: &DeliveryRecord,
        after: &DeliveryRecord,
        rev: u64,
        also: Change,
        now_ms: i64,
    ) -> Result<bool> {
        let change = also.delete(&TimerRecord::of(before, now_ms), 1).put(after, rev + 1);
        let timer = TimerRecord::of(after, now_ms);
        let change = change.and_then(|change| change.put(&timer, 1)).map_err(as_internal)?;
        match self.store().apply(&change).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The write that disables the endpoint of a delivery.
    async fn disabled(
        &self,
        delivery: &DeliveryRecord,
        reason: &str,
        now_ms: i64,
    ) -> Result<Change> {
        let found = self.document::<WebhookRecord>(delivery.webhook.as_str()).await?;
        let Some((mut endpoint, rev)) = found.filter(|(endpoint, _)| endpoint.enabled) else {
            return Ok(Change::none());
        };
        endpoint.enabled = false;
        endpoint.disabled_reason = Some(reason.to_string());
        let entry = AuditEntry {
            tenant: endpoint.tenant.clone(),
            at_ms: now_ms,
            actor: "system".to_string(),
            action: "webhook.disabled".to_string(),
            target: endpoint.id.to_string(),
            detail: json!({"host": host_of(&endpoint.url), "reason": reason}),
        };
        Change::audited(entry).put(&endpoint, rev + 1).map_err(as_internal)
    }

    /// Removes deliveries that ended 7 days ago, and the endpoints of ended jobs with the last of them.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn sweep_deliveries(&self) -> Result<()> {
        let now_ms = self.store().now_ms().await?;
        let page = PageRequest { after: None, limit: PAGE, order: Order::Asc };
        loop {
            let (timers, more) = self.timers(Lane::Ended, &page).await?;
            for timer in &timers {
                if timer.since_ms + Lane::Ended.wait_ms() > now_ms {
                    return Ok(());
                }
                let mut change = Change::none().delete(timer, 1);
                let found = self.document::<DeliveryRecord>(timer.delivery.as_str()).await?;
                if let Some((delivery, rev)) = &found {
                    change = change.delete(delivery, *rev);
                }
                match self.store().apply(&change).await {
                    Ok(()) | Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
                if let Some((DeliveryRecord { job: Some(job), .. }, _)) = &found {
                    self.sweep_endpoint(timer, job).await?;
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Removes the endpoint of a job that has ended, once nothing of it is left: its secret need not be kept.
    async fn sweep_endpoint(&self, timer: &TimerRecord, job: &JobId) -> Result<()> {
        let any = PageRequest { after: None, limit: 1, order: Order::Asc };
        let (left, _) = self.documents::<DeliveryRecord>(timer.webhook.as_str(), &any).await?;
        let found = self.document::<WebhookRecord>(timer.webhook.as_str()).await?;
        let Some((endpoint, rev)) = found.filter(|(endpoint, _)| endpoint.job.is_some()) else {
            return Ok(());
        };
        let job = self.store().job_of_any_tenant(job).await?;
        if !left.is_empty() || job.is_some_and(|job| !job.state.status().is_terminal()) {
            return Ok(());
        }
        match self.store().apply(&Change::none().delete(&endpoint, rev)).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An event for one endpoint. The body is thin: whoever wants more asks, and so sees what is so by then.
pub(super) fn new_delivery(
    endpoint: &WebhookRecord,
    event: EventType,
    job: Option<&JobId>,
    now_ms: i64,
) -> Result<DeliveryRecord> {
    let id = DeliveryId::generate()?;
    let of = job.map_or(endpoint.id.as_str(), JobId::as_str);
    let body = json!({"id": id, "object": "event", "created_at": now_ms / 1000, "type": event, "data": {"id": of}});
    Ok(DeliveryRecord {
        id,
        webhook: endpoint.id.clone(),
        tenant: endpoint.tenant.clone(),
        job: job.cloned(),
        event,
        body: body.to_string(),
        status: DeliveryStatus::Pending,
        attempts: 0,
        last_status: None,
        last_error: None,
        at_ms: now_ms,
        lane: Lane::New,
        created_at_ms: now_ms,
        traceparent: None,
    })
}

/// A number between 0 and 1.
fn chance() -> Result<f64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    Ok(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

impl DeliveryRecord {
    fn end(&mut self, status: DeliveryStatus, error: Option<String>, now_ms: i64) {
        (self.status, self.last_error) = (status, error);
        (self.lane, self.at_ms) = (Lane::Ended, now_ms);
    }

    /// Another attempt, or the end where there were enough.
    fn retry(&mut self, error: String, asked: Option<u64>, chance: f64, now_ms: i64) {
        match schedule::next(self.created_at_ms, now_ms, self.attempts, asked, chance) {
            Some((lane, at_ms)) => {
                self.last_error = Some(error);
                (self.lane, self.at_ms) = (lane, at_ms);
            }
            None => self.end(DeliveryStatus::Failed, Some(error), now_ms),
        }
    }
}
