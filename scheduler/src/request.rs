//! Requests under an idempotency key, as they are recorded.

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::Scope;

use crate::port::document::{Document, Kind};

/// How long a key is remembered, in milliseconds: a day.
pub const KEPT_MS: i64 = 86_400_000;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Whose it is.
    pub tenant: TenantId,
    /// The key, as sent.
    pub key: String,
    /// SHA-256 of method and path, and of the body where it is known before the request is run, in hexadecimal.
    pub request_sha256: String,
    /// How far it is.
    pub state: RequestState,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

impl RequestRecord {
    /// The id of a tenant's key.
    pub(crate) fn id_of(tenant: &TenantId, key: &str) -> String {
        format!("{tenant} {key}")
    }
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RequestState {
    /// It is being worked on.
    InProgress {
        /// When its process last said so, in Unix milliseconds.
        seen_at_ms: i64,
    },
    /// It is done.
    Answered(Answer),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Body,
    /// What a caller must be allowed to do to see it.
    pub scope: Scope,
    /// SHA-256 of a body that was streamed, in hexadecimal.
    pub streamed_sha256: Option<String>,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// As it was sent.
    Json(String),
    /// It held a secret, which is not stored.
    Secret,
    /// It was larger than what is kept.
    Large,
    /// It showed what has been erased since.
    Erased,
}

impl Document for RequestRecord {
    const KIND: Kind = Kind::Request;

    fn id(&self) -> String {
        Self::id_of(&self.tenant, &self.key)
    }

    fn scope(&self) -> String {
        self.tenant.to_string()
    }
}
