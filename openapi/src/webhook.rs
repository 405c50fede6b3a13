//! Webhooks: endpoints that are told of the events of jobs, signed as Standard Webhooks has it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{DeliveryId, JobId, WebhookId};
use crate::job::JobStatus;

/// What happened. There is one for each status that a job can come to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub enum EventType {
    /// A job was created; its files are being validated.
    #[serde(rename = "fine_tuning.job.created")]
    Created,
    /// A job that was held back has its files validated.
    #[serde(rename = "fine_tuning.job.validating_files")]
    ValidatingFiles,
    /// A job waits for an executor: at first, after a pause, or after an attempt that ended.
    #[serde(rename = "fine_tuning.job.queued")]
    Queued,
    /// A job runs.
    #[serde(rename = "fine_tuning.job.running")]
    Running,
    /// A job is held back by its owner.
    #[serde(rename = "fine_tuning.job.paused")]
    Paused,
    /// A job has made its model.
    #[serde(rename = "fine_tuning.job.succeeded")]
    Succeeded,
    /// A job ended without a model.
    #[serde(rename = "fine_tuning.job.failed")]
    Failed,
    /// A job was ended by its owner.
    #[serde(rename = "fine_tuning.job.cancelled")]
    Cancelled,
    /// A test of the endpoint; sent whatever the endpoint asks for.
    #[serde(rename = "webhook.ping")]
    Ping,
}

impl EventType {
    /// The event of a job that has come to `status`.
    pub const fn of(status: JobStatus) -> Self {
        match status {
            JobStatus::ValidatingFiles => Self::ValidatingFiles,
            JobStatus::Queued => Self::Queued,
            JobStatus::Running => Self::Running,
            JobStatus::Paused => Self::Paused,
            JobStatus::Succeeded => Self::Succeeded,
            JobStatus::Failed => Self::Failed,
            JobStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// A signing secret, `whsec_` and base64. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct SigningSecret(pub String);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// An endpoint of one job, in the request that makes the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJobWebhook {
    /// Where events are sent, by `https`.
    pub url: String,
    /// What they are signed with: `whsec_` and the base64 of 24 to 64 random bytes. It is never shown again.
    pub secret: SigningSecret,
    /// Which events; all where null.
    #[serde(default)]
    pub events: Option<Vec<EventType>>,
}

/// An endpoint of one job, as the job shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobWebhook {
    /// Where events are sent.
    pub url: String,
    /// Which events; all where null.
    #[schema(required = true)]
    pub events: Option<Vec<EventType>>,
}

/// An endpoint that is told of the events of all jobs of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Webhook {
    /// The id.
    pub id: WebhookId,
    /// Always `webhook`.
    #[schema(example = "webhook")]
    pub object: String,
    /// When it was made, in Unix seconds.
    pub created_at: i64,
    /// Where events are sent.
    pub url: String,
    /// A text for people.
    #[schema(required = true)]
    pub description: Option<String>,
    /// Which events; all where null.
    #[schema(required = true)]
    pub events: Option<Vec<EventType>>,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why the server sends none any more, where it was the server that ended it.
    #[schema(required = true)]
    pub disabled_reason: Option<String>,
    /// Until when the secret before this one signs too, in Unix seconds.
    #[schema(required = true)]
    pub old_secret_until: Option<i64>,
    /// The signing secret, in the answer that made it and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SigningSecret>,
}

/// A request to make an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// Where events are sent, by `https` on port 443, at most 2048 bytes.
    pub url: String,
    /// Which events; all where null.
    #[serde(default)]
    pub events: Option<Vec<EventType>>,
    /// A text for people, at most 256 characters.
    #[serde(default)]
    pub description: Option<String>,
}

/// A request to change an endpoint: what is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateWebhook {
    /// Where events are sent.
    pub url: Option<String>,
    /// Which events; null for all.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<EventType>>)]
    pub events: Option<Option<Vec<EventType>>>,
    /// Whether events are sent.
    pub enabled: Option<bool>,
    /// A text for people; null for none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
}

/// Tells null, which is a wish, from what is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It will be tried, or tried again.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// An event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookDelivery {
    /// The id: `id` of the body and the header `webhook-id`, the same at every attempt.
    pub id: DeliveryId,
    /// Always `webhook.delivery`.
    #[schema(example = "webhook.delivery")]
    pub object: String,
    /// When the event happened, in Unix seconds.
    pub created_at: i64,
    /// The endpoint.
    pub webhook_id: WebhookId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The job that it happened to.
    #[schema(required = true)]
    pub job_id: Option<JobId>,
    /// How far it is.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// The HTTP status of the last answer, where there was one.
    #[schema(required = true)]
    pub last_response_status: Option<u16>,
    /// Why the last attempt failed.
    #[schema(required = true)]
    pub last_error: Option<String>,
    /// When it is tried next, in Unix seconds, while it is pending.
    #[schema(required = true)]
    pub next_attempt_at: Option<i64>,
}
