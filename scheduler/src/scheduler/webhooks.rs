//! What clients do with webhooks: make endpoints, change them, test them, look at their deliveries.

use serde_json::json;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::Deleted;
use trainyard_openapi::id::{JobId, TenantId, WebhookId};
use trainyard_openapi::limits::{WEBHOOK_DESCRIPTION_CHARS_MAX, WEBHOOKS_MAX};
use trainyard_openapi::page::{Order, Page, PageRequest};
use trainyard_openapi::webhook::{
    CreateWebhook, DeliveryStatus, EventType, NewJobWebhook, SigningSecret, UpdateWebhook, Webhook,
    WebhookDelivery,
};

use super::deliveries::new_delivery;
use super::documents::{Altered, json as as_internal};
use super::{CONFLICTS_MAX, Scheduler};
use crate::error::Result;
use crate::port::document::Change;
use crate::port::store::StoreError;
use crate::tenant::TenantContext;
use crate::webhook::{DeliveryRecord, TimerRecord, WebhookRecord, secret};

/// For how long the old secret signs beside the new one, in milliseconds: 24 hours.
const OVERLAP_MS: i64 = 86_400_000;

impl Scheduler {
    /// Makes an endpoint. The answer holds its secret, once.
    ///
    /// # Errors
    /// A bad field; `quota_exceeded` where the tenant has as many as it may.
    pub async fn create_webhook(
        &self,
        ctx: &TenantContext,
        new: &CreateWebhook,
    ) -> Result<Webhook> {
        let CreateWebhook { url, events, description } = new;
        let url = self.webhook_url("url", url)?;
        check_events("events", events.as_deref())?;
        check_description(description.as_deref())?;
        let most = PageRequest { after: None, limit: WEBHOOKS_MAX as u32, order: Order::Desc };
        let (there, _) = self.documents::<WebhookRecord>(ctx.tenant().as_str(), &most).await?;
        if there.len() >= WEBHOOKS_MAX {
            let text = format!(
                "the tenant has {WEBHOOKS_MAX} webhooks, the most there can be; delete one"
            );
            return Err(ApiError::new(ErrorCode::QuotaExceeded, text).into());
        }
        let now_ms = self.store().now_ms().await?;
        let secret = secret::generate()?;
        let mut record = new_webhook(ctx.tenant(), url, secret.clone(), now_ms)?;
        (record.events, record.description) = (events.clone(), description.clone());
        let detail = json!({"host": host_of(&record.url), "events": record.events});
        let entry = Self::audited(ctx, now_ms, "webhook.created", &record.id, detail);
        let change = Change::audited(entry).put(&record, 1).map_err(as_internal)?;
        self.store().apply(&change).await?;
        Ok(Webhook { secret: Some(secret), ..webhook_of(&record, now_ms) })
    }

    /// The tenant's endpoints, newest first, without their secrets. Those of single jobs are not among them.
    ///
    /// # Errors
    /// A bad cursor.
    pub async fn webhooks(&self, ctx: &TenantContext, page: &PageRequest) -> Result<Page<Webhook>> {
        let (records, has_more) =
            self.documents::<WebhookRecord>(ctx.tenant().as_str(), page).await?;
        let now_ms = self.store().now_ms().await?;
        let webhooks = records.iter().map(|record| webhook_of(record, now_ms)).collect();
        Ok(Page::new(webhooks, has_more, |webhook: &Webhook| webhook.id.to_string()))
    }

    /// An endpoint, without its secret.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn webhook(&self, ctx: &TenantContext, id: &WebhookId) -> Result<Webhook> {
        let (record, _) = self.own_webhook(ctx, id).await?;
        Ok(webhook_of(&record, self.store().now_ms().await?))
    }

    /// Changes an endpoint. Enabling it again forgets why it was disabled.
    ///
    /// # Errors
    /// `not_found`; a bad field.
    pub async fn update_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        update: &UpdateWebhook,
    ) -> Result<Webhook> {
        let UpdateWebhook { url, events, enabled, description } = update;
        let url = url.as_deref().map(|url| self.webhook_url("url", url)).transpose()?;
        check_events("events", events.as_ref().and_then(|events| events.as_deref()))?;
        check_description(description.as_ref().and_then(|text| text.as_deref()))?;
        self.own_webhook(ctx, id).await?;
        let altered = self.alter::<WebhookRecord>(id.as_str(), |record, now_ms| {
            let before = record.clone();
            if let Some(url) = &url {
                record.url.clone_from(url);
            }
            if let Some(events) = events {
                record.events.clone_from(events);
            }
            if let Some(description) = description {
                record.description.clone_from(description);
            }
            if let Some(enabled) = enabled {
                record.enabled = *enabled;
                record.disabled_reason = record.disabled_reason.take().filter(|_| !enabled);
            }
            if *record == before {
                return Ok(Altered::No);
            }
            let detail = json!({"host": host_of(&record.url), "events": record.events, "enabled": record.enabled});
            Ok(Altered::Audited(Self::audited(ctx, now_ms, "webhook.updated", id, detail)))
        });
        let record = altered.await?.ok_or_else(|| not_found(id))?;
        Ok(webhook_of(&record, self.store().now_ms().await?))
    }

    /// Removes an endpoint. What is under way to it is given up.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn delete_webhook(&self, ctx: &TenantContext, id: &WebhookId) -> Result<Deleted> {
        for _ in 0..CONFLICTS_MAX {
            let (record, rev) = self.own_webhook(ctx, id).await?;
            let now_ms = self.store().now_ms().await?;
            let detail = json!({"host": host_of(&record.url)});
            let entry = Self::audited(ctx, now_ms, "webhook.deleted", id, detail);
            match self.store().apply(&Change::audited(entry).delete(&record, rev)).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    let (id, object) = (id.to_string(), "webhook".to_string());
                    return Ok(Deleted { id, object, deleted: true });
                }
            }
        }
        Err(StoreError::Unavailable(format!("{id} changes too fast")).into())
    }

    /// Gives an endpoint a new secret. The one before it signs too for 24 hours, the one before that no more.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn rotate_webhook_secret(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<Webhook> {
        self.own_webhook(ctx, id).await?;
        let secret = secret::generate()?;
        let altered = self.alter::<WebhookRecord>(id.as_str(), |record, now_ms| {
            let old = std::mem::replace(&mut record.secret, secret.clone());
            record.old_secret = Some((old, now_ms + OVERLAP_MS));
            let entry = Self::audited(ctx, now_ms, "webhook.secret_rotated", id, json!({}));
            Ok(Altered::Audited(entry))
        });
        let record = altered.await?.ok_or_else(|| not_found(id))?;
        let now_ms = self.store().now_ms().await?;
        Ok(Webhook { secret: Some(secret), ..webhook_of(&record, now_ms) })
    }

    /// Sends an event of the type `webhook.ping` to an endpoint.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where the endpoint is disabled.
    pub async fn test_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<WebhookDelivery> {
        let (record, _) = self.own_webhook(ctx, id).await?;
        if !record.enabled {
            let text = "the webhook is disabled; enable it first";
            return Err(ApiError::new(ErrorCode::InvalidState, text).into());
        }
        let now_ms = self.store().now_ms().await?;
        let delivery = new_delivery(&record, EventType::Ping, None, now_ms)?;
        let timer = TimerRecord::of(&delivery, now_ms);
        let change = Change::none().put(&delivery, 1).and_then(|change| change.put(&timer, 1));
        self.store().apply(&change.map_err(as_internal)?).await?;
        self.inner.announced.notify_one();
        Ok(delivery_of(&delivery))
    }

    /// An endpoint's deliveries of the last 7 days and those under way, newest first.
    ///
    /// # Errors
    /// `not_found`; a bad cursor.
    pub async fn webhook_deliveries(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
        page: &PageRequest,
    ) -> Result<Page<WebhookDelivery>> {
        self.own_webhook(ctx, id).await?;
        let (records, has_more) = self.documents::<DeliveryRecord>(id.as_str(), page).await?;
        let deliveries = records.iter().map(delivery_of).collect();
        Ok(Page::new(deliveries, has_more, |delivery: &WebhookDelivery| delivery.id.to_string()))
    }

    /// The endpoint of a job that is being made. `param` names it in errors.
    pub(super) fn webhook_of_job(
        &self,
        tenant: &TenantId,
        job: &JobId,
        new: &NewJobWebhook,
        now_ms: i64,
    ) -> Result<WebhookRecord> {
        const PARAM: &str = "trainyard.webhook";
        let url = self.webhook_url(&format!("{PARAM}.url"), &new.url)?;
        check_events(&format!("{PARAM}.events"), new.events.as_deref())?;
        secret::decode(&new.secret).map_err(|why| invalid(&format!("{PARAM}.secret"), &why))?;
        let mut record = new_webhook(tenant, url, new.secret.clone(), now_ms)?;
        (record.job, record.events) = (Some(job.clone()), new.events.clone());
        Ok(record)
    }

    /// The URL as it is stored: normalised.
    fn webhook_url(&self, param: &str, text: &str) -> Result<String> {
        let url = self.config().webhooks.url(text).map_err(|why| invalid(param, &why))?;
        Ok(url.to_string())
    }

    /// The caller's endpoint. A foreign one, and one of a single job, does not exist.
    async fn own_webhook(
        &self,
        ctx: &TenantContext,
        id: &WebhookId,
    ) -> Result<(WebhookRecord, u64)> {
        let found = self.document::<WebhookRecord>(id.as_str()).await?;
        let own =
            found.filter(|(record, _)| record.tenant == *ctx.tenant() && record.job.is_none());
        Ok(own.ok_or_else(|| not_found(id))?)
    }
}

fn new_webhook(
    tenant: &TenantId,
    url: String,
    secret: SigningSecret,
    now_ms: i64,
) -> Result<WebhookRecord> {
    Ok(WebhookRecord {
        id: WebhookId::generate()?,
        tenant: tenant.clone(),
        job: None,
        url,
        description: None,
        events: None,
        enabled: true,
        disabled_reason: None,
        secret,
        old_secret: None,
        created_at_ms: now_ms,
    })
}

fn webhook_of(record: &WebhookRecord, now_ms: i64) -> Webhook {
    let old = record.old_secret.as_ref().map(|(_, until_ms)| *until_ms);
    Webhook {
        id: record.id.clone(),
        object: "webhook".to_string(),
        created_at: record.created_at_ms / 1000,
        url: record.url.clone(),
        description: record.description.clone(),
        events: record.events.clone(),
        enabled: record.enabled,
        disabled_reason: record.disabled_reason.clone(),
        old_secret_until: old.filter(|until_ms| now_ms < *until_ms).map(|ms| ms / 1000),
        secret: None,
    }
}

fn delivery_of(record: &DeliveryRecord) -> WebhookDelivery {
    let pending = record.status == DeliveryStatus::Pending;
    WebhookDelivery {
        id: record.id.clone(),
        object: "webhook.delivery".to_string(),
        created_at: record.created_at_ms / 1000,
        webhook_id: record.webhook.clone(),
        kind: record.event,
        job_id: record.job.clone(),
        status: record.status,
        attempts: record.attempts,
        last_response_status: record.last_status,
        last_error: record.last_error.clone(),
        next_attempt_at: pending.then_some(record.at_ms / 1000),
    }
}

/// What the audit log says of a URL: its path and query may hold a secret of the receiver's.
pub(super) fn host_of(url: &str) -> String {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_string));
    host.unwrap_or_default()
}

fn check_events(param: &str, events: Option<&[EventType]>) -> Result<(), ApiError> {
    let Some(events) = events else { return Ok(()) };
    if events.is_empty() {
        return Err(invalid(param, "must name at least one event, or be null for all"));
    }
    if events.contains(&EventType::Ping) {
        return Err(invalid(param, "cannot name 'webhook.ping': a test is always sent"));
    }
    let twice = events.iter().enumerate().find(|(at, event)| events[..*at].contains(event));
    match twice {
        Some((at, _)) => {
            Err(invalid(&format!("{param}[{at}]"), "names an event for the second time"))
        }
        None => Ok(()),
    }
}

fn check_description(text: Option<&str>) -> Result<(), ApiError> {
    let Some(text) = text else { return Ok(()) };
    let (chars, max) = (text.chars().count(), WEBHOOK_DESCRIPTION_CHARS_MAX);
    if (1..=max).contains(&chars) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let why = format!("must have 1 to {max} characters and no control characters; it has {chars}");
    Err(invalid("description", &why))
}

fn invalid(param: &str, why: &str) -> ApiError {
    let text = format!("invalid value for '{param}': {why}");
    ApiError::field(ErrorCode::InvalidValue, param, text)
}

fn not_found(id: &WebhookId) -> ApiError {
    ApiError::field(ErrorCode::NotFound, "id", format!("No such webhook: {id}"))
}
