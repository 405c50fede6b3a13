//! Tenants, their keys, and the right to act for one as a value: without it there is no call to make.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::{Quota, Scope, TenantStatus};

use crate::key::ApiKey;
use crate::port::document::{Document, Kind};
use crate::token::Token;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// The id.
    pub id: TenantId,
    /// A name for people.
    pub name: String,
    /// Whether its keys work.
    #[serde(default)]
    pub status: TenantStatus,
    /// What it may use.
    #[serde(default)]
    pub quota: Quota,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

impl TenantRecord {
    /// A new tenant without limits.
    pub fn new(id: TenantId, name: &str, now_ms: i64) -> Self {
        let (status, quota) = (TenantStatus::Active, Quota::default());
        Self { id, name: name.to_string(), status, quota, created_at_ms: now_ms }
    }
}

impl Document for TenantRecord {
    const KIND: Kind = Kind::Tenant;

    fn id(&self) -> String {
        self.id.to_string()
    }

    /// All tenants are in one list.
    fn scope(&self) -> String {
        String::new()
    }
}

/// An API key. The secret is not in it: only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public part.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret part, in hexadecimal.
    pub secret_sha256: String,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
    /// From when on it does not work, in Unix milliseconds.
    #[serde(default)]
    pub expires_at_ms: Option<i64>,
    /// When it was revoked, in Unix milliseconds.
    #[serde(default)]
    pub revoked_at_ms: Option<i64>,
    /// When it was last used, in Unix milliseconds, to the minute.
    #[serde(default)]
    pub last_used_at_ms: Option<i64>,
}

impl KeyRecord {
    /// A new key that does not expire.
    pub fn new(
        key: &ApiKey,
        tenant: &TenantId,
        name: &str,
        scopes: Vec<Scope>,
        now_ms: i64,
    ) -> Self {
        Self {
            id: key.id().to_string(),
            tenant: tenant.clone(),
            name: name.to_string(),
            scopes,
            secret_sha256: key.secret_sha256(),
            created_at_ms: now_ms,
            expires_at_ms: None,
            revoked_at_ms: None,
            last_used_at_ms: None,
        }
    }

    /// Whether it works at `now_ms`.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|at| now_ms < at)
    }
}

impl Document for KeyRecord {
    const KIND: Kind = Kind::Key;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn scope(&self) -> String {
        self.tenant.to_string()
    }
}

/// That the first key of the record was made: two processes that start at the same time make one between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstKeyRecord {
    /// The id of the key.
    pub key: String,
    /// When, in Unix milliseconds.
    pub made_at_ms: i64,
}

impl FirstKeyRecord {
    /// The only one's id.
    pub const ID: &'static str = "first";
}

impl Document for FirstKeyRecord {
    const KIND: Kind = Kind::FirstKey;

    fn id(&self) -> String {
        Self::ID.to_string()
    }

    fn scope(&self) -> String {
        String::new()
    }
}

/// Who is asking. Only authentication makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantContext {
    tenant: Arc<TenantRecord>,
    credential: Credential,
}

/// What the caller showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// An API key.
    Key(Arc<KeyRecord>),
    /// A token of the identity provider.
    Token(Arc<Token>),
}

impl TenantContext {
    pub(crate) fn new(tenant: Arc<TenantRecord>, credential: Credential) -> Self {
        Self { tenant, credential }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant.id
    }

    /// What the tenant may use.
    pub fn quota(&self) -> &Quota {
        &self.tenant.quota
    }

    /// The API key, where it was one that was shown.
    pub(crate) fn key(&self) -> Option<&KeyRecord> {
        match &self.credential {
            Credential::Key(key) => Some(key),
            Credential::Token(_) => None,
        }
    }

    /// Whether the caller may do this. An operator may do everything.
    pub fn may(&self, scope: Scope) -> bool {
        let scopes = match &self.credential {
            Credential::Key(key) => &key.scopes,
            Credential::Token(token) => &token.scopes,
        };
        scopes.contains(&scope) || scopes.contains(&Scope::Admin)
    }

    /// What the audit log calls the caller.
    pub fn actor(&self) -> String {
        match &self.credential {
            Credential::Key(key) => format!("key:{}", key.id),
            Credential::Token(token) => format!("token:{}", token.subject),
        }
    }

    /// What the caller showed, in a word for messages.
    pub fn credential(&self) -> &'static str {
        match &self.credential {
            Credential::Key(_) => "API key",
            Credential::Token(_) => "token",
        }
    }
}
