//! Tenants and their API keys: what operators make and change.

use serde::{Deserialize, Serialize};

use crate::id::TenantId;

/// What a key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub enum Scope {
    /// Look at files and read them.
    #[serde(rename = "files.read")]
    FilesRead,
    /// Upload and delete files.
    #[serde(rename = "files.write")]
    FilesWrite,
    /// Look at jobs, events and checkpoints.
    #[serde(rename = "jobs.read")]
    JobsRead,
    /// Create, cancel, pause and resume jobs.
    #[serde(rename = "jobs.write")]
    JobsWrite,
    /// Look at models and download them.
    #[serde(rename = "models.read")]
    ModelsRead,
    /// Delete models.
    #[serde(rename = "models.write")]
    ModelsWrite,
    /// Read the tenant's usage.
    #[serde(rename = "usage.read")]
    UsageRead,
    /// Look at webhooks and their deliveries.
    #[serde(rename = "webhooks.read")]
    WebhooksRead,
    /// Create, change, test and delete webhooks.
    #[serde(rename = "webhooks.write")]
    WebhooksWrite,
    /// Everything, of every tenant under `/v1/admin`: for operators alone.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// All that a tenant's own key may have.
    pub const TENANT: [Self; 9] = [
        Self::FilesRead,
        Self::FilesWrite,
        Self::JobsRead,
        Self::JobsWrite,
        Self::ModelsRead,
        Self::ModelsWrite,
        Self::UsageRead,
        Self::WebhooksRead,
        Self::WebhooksWrite,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FilesRead => "files.read",
            Self::FilesWrite => "files.write",
            Self::JobsRead => "jobs.read",
            Self::JobsWrite => "jobs.write",
            Self::ModelsRead => "models.read",
            Self::ModelsWrite => "models.write",
            Self::UsageRead => "usage.read",
            Self::WebhooksRead => "webhooks.read",
            Self::WebhooksWrite => "webhooks.write",
            Self::Admin => "admin",
        }
    }

    /// The scope of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::TENANT.into_iter().chain([Self::Admin]).find(|scope| scope.as_str() == word)
    }
}

/// What a tenant may use; null is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Jobs that run or are about to, at once.
    pub running_jobs: Option<u32>,
    /// Jobs that have not ended, running ones among them.
    pub live_jobs: Option<u32>,
    /// Bytes of files and models.
    pub storage_bytes: Option<u64>,
    /// Seconds of running jobs times their devices, on one day (UTC).
    pub accelerator_seconds_per_day: Option<u64>,
    /// The same in one calendar month (UTC).
    pub accelerator_seconds_per_month: Option<u64>,
    /// Requests a minute, of all keys together.
    pub requests_per_minute: Option<u32>,
    /// Requests a minute of each key.
    pub requests_per_minute_per_key: Option<u32>,
}

/// Whether a tenant's keys work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// They do.
    #[default]
    Active,
    /// They are refused, and no job of the tenant is started. Running jobs go on.
    Suspended,
    /// They are refused: the tenant is being deleted. It cannot be set.
    Erasing,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tenant {
    /// The id; clients see it as the organization.
    pub id: TenantId,
    /// Always `tenant`.
    #[schema(example = "tenant")]
    pub object: String,
    /// When it was made, in Unix seconds.
    pub created_at: i64,
    /// A name for people.
    pub name: String,
    /// Whether its keys work.
    pub status: TenantStatus,
    /// What it may use.
    pub quota: Quota,
    /// Its part of the devices where tenants compete for them: one of weight 2 gets twice what one of weight 1 gets.
    #[schema(minimum = 1, maximum = 1000)]
    pub weight: u32,
}

/// A request to make a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// A name for people, 1 to 64 characters.
    pub name: String,
    /// What it may use; no limits where left out.
    #[serde(default)]
    pub quota: Quota,
    /// Its part of the devices where tenants compete for them, 1 to 1000; 1 where left out.
    #[serde(default = "default_weight")]
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    pub weight: u32,
}

const fn default_weight() -> u32 {
    1
}

/// A request to change a tenant: what is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateTenant {
    /// A name for people.
    pub name: Option<String>,
    /// Whether its keys work.
    pub status: Option<TenantStatus>,
    /// What it may use: the whole of it.
    pub quota: Option<Quota>,
    /// Its part of the devices where tenants compete for them, 1 to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    pub weight: Option<u32>,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TenantKey {
    /// The public part.
    pub id: String,
    /// Always `api_key`.
    #[schema(example = "api_key")]
    pub object: String,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made, in Unix seconds.
    pub created_at: i64,
    /// From when on it does not work, in Unix seconds.
    #[schema(required = true)]
    pub expires_at: Option<i64>,
    /// When it was revoked, in Unix seconds.
    #[schema(required = true)]
    pub revoked_at: Option<i64>,
    /// When it was last used, in Unix seconds, to the minute.
    #[schema(required = true)]
    pub last_used_at: Option<i64>,
    /// The whole key, in the answer that made it and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A request to make a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// A name for people, 1 to 64 characters.
    pub name: String,
    /// What it may do; all that a tenant can where left out.
    #[serde(default)]
    pub scopes: Option<Vec<Scope>>,
    /// Seconds until it expires, 60 to 315360000; never where left out.
    #[serde(default)]
    pub expires_in_seconds: Option<u64>,
}

/// A request to replace a key by a new one with the same name and scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateKey {
    /// Seconds for which the old key still works, 0 to 2592000; 86400 where left out.
    pub overlap_seconds: Option<u64>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEvent {
    /// Its place in the tenant's chain, as text: the cursor.
    pub id: String,
    /// Always `audit.event`.
    #[schema(example = "audit.event")]
    pub object: String,
    /// When, in Unix seconds.
    pub created_at: i64,
    /// The same in milliseconds, as it was hashed.
    pub created_at_ms: i64,
    /// Whose chain it belongs to.
    pub tenant_id: TenantId,
    /// Who: `key:<public part>`, `token:<subject>` or `system`.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// More of it.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// The hash of the entry before it.
    pub prev_hash: String,
    /// SHA-256 over that and this entry.
    pub hash: String,
}

/// What a tenant has used on one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageDay {
    /// The day in UTC, such as `2026-11-24`.
    pub date: String,
    /// Always `usage.day`.
    #[schema(example = "usage.day")]
    pub object: String,
    /// Seconds that executors held for jobs, times the devices of each.
    pub accelerator_seconds: f64,
    /// Tokens of the jobs that succeeded on this day.
    pub trained_tokens: u64,
    /// Jobs that were created.
    pub jobs_created: u64,
    /// Jobs that succeeded.
    pub jobs_succeeded: u64,
}

/// What a tenant has used and what it may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Always `usage`.
    #[schema(example = "usage")]
    pub object: String,
    /// Days on which something was used, oldest first.
    pub data: Vec<UsageDay>,
    /// Bytes of files and models now.
    pub storage_bytes: u64,
    /// Jobs that have not ended now.
    pub live_jobs: u64,
    /// Accelerator-seconds of today.
    pub accelerator_seconds_today: f64,
    /// Accelerator-seconds of this month.
    pub accelerator_seconds_this_month: f64,
    /// What the tenant may use.
    pub quota: Quota,
}
