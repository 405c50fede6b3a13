//! Who a key belongs to, and the first key of a new store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::{Scope, TenantStatus};

use super::{Scheduler, documents};
use crate::audit::AuditEntry;
use crate::error::Result;
use crate::key::ApiKey;
use crate::port::document::{Change, Kind};
use crate::port::store::StoreError;
use crate::tenant::{Credential, FirstKeyRecord, KeyRecord, TenantContext, TenantRecord};

/// How long a key is taken on trust after it was found good: a key that another process revokes stops working within this time.
const TRUST: Duration = Duration::from_secs(20);
/// Keys that are remembered; beyond that all are forgotten and read again.
const REMEMBERED_MAX: usize = 10_000;
/// How often the use of a key is written down, in milliseconds.
const USE_WRITTEN_MS: i64 = 60_000;

/// Keys that were found good a moment ago.
#[derive(Default)]
pub(super) struct KnownKeys(Mutex<HashMap<String, Known>>);

#[derive(Clone)]
struct Known {
    secret_sha256: String,
    ctx: TenantContext,
    since: Instant,
}

impl KnownKeys {
    fn get(&self, key: &ApiKey) -> Option<TenantContext> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key.id()).cloned()?;
        let good = known.since.elapsed() < TRUST && key.matches(&known.secret_sha256);
        good.then_some(known.ctx)
    }

    fn put(&self, key: &ApiKey, ctx: &TenantContext) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        let secret_sha256 = key.secret_sha256();
        let entry = Known { secret_sha256, ctx: ctx.clone(), since: Instant::now() };
        known.insert(key.id().to_string(), entry);
    }

    /// Forgets all: a key or tenant has changed.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Scheduler {
    /// Makes the first key of a new store, an operator's, with a tenant of its own. `None` where there is a key already, or where another
    /// process makes it at this moment: only its hash is stored, so it cannot be shown again.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn bootstrap_key(&self) -> Result<Option<String>> {
        // Read before the keys are counted: whoever makes one in between moves it on.
        let made = self.document::<FirstKeyRecord>(FirstKeyRecord::ID).await?;
        if self.store().document_count(Kind::Key).await? > 0 {
            return Ok(None);
        }
        let now_ms = self.store().now_ms().await?;
        let tenant = TenantRecord::new(TenantId::generate()?, "default", now_ms);
        let key = ApiKey::generate()?;
        let record = KeyRecord::new(&key, &tenant.id, "first key", vec![Scope::Admin], now_ms);
        let change = Change::audited(AuditEntry {
            tenant: tenant.id.clone(),
            at_ms: now_ms,
            actor: "system".to_string(),
            action: "key.created".to_string(),
            target: record.id.clone(),
            detail: json!({"scopes": record.scopes, "first": true}),
        });
        let first = FirstKeyRecord { key: record.id.clone(), made_at_ms: now_ms };
        let rev = made.map_or(1, |(_, rev)| rev + 1);
        let change = change.put(&first, rev).and_then(|change| change.put(&tenant, 1));
        let change = change.and_then(|change| change.put(&record, 1)).map_err(documents::json)?;
        match self.store().apply(&change).await {
            Ok(()) => Ok(Some(key.reveal())),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// `invalid_api_key` where it is nobody's, has expired or was revoked; the answer does not tell how close it was.
    /// `tenant_suspended`.
    pub async fn authenticate(&self, bearer: &str) -> Result<TenantContext> {
        let refused = || ApiError::new(ErrorCode::InvalidApiKey, "Incorrect API key provided");
        let key = ApiKey::parse(bearer).ok_or_else(refused)?;
        let now_ms = self.store().now_ms().await?;
        if let Some(ctx) = self.inner.keys.get(&key)
            && ctx.key().is_some_and(|key| key.is_live(now_ms))
        {
            return Ok(ctx);
        }
        // An unknown id costs the same comparison as a wrong secret.
        let record = self.document::<KeyRecord>(key.id()).await?.map(|(record, _)| record);
        let dummy = "0".repeat(64);
        let matches = key.matches(record.as_ref().map_or(&dummy, |record| &record.secret_sha256));
        let record = record.filter(|record| matches && record.is_live(now_ms));
        let record = record.ok_or_else(refused)?;
        let tenant = self.document::<TenantRecord>(record.tenant.as_str()).await?;
        let (tenant, _) = tenant.ok_or_else(refused)?;
        if tenant.status == TenantStatus::Erasing {
            return Err(refused().into());
        }
        if tenant.status == TenantStatus::Suspended {
            let text = "the tenant of this key is suspended; ask the operator of this server";
            return Err(ApiError::new(ErrorCode::TenantSuspended, text).into());
        }
        let record = Arc::new(record);
        let ctx = TenantContext::new(Arc::new(tenant), Credential::Key(record.clone()));
        self.inner.keys.put(&key, &ctx);
        self.write_use(&record, now_ms).await;
        Ok(ctx)
    }

    /// Writes down that the key was used. A store that does not take it does not hold up its owner.
    async fn write_use(&self, key: &KeyRecord, now_ms: i64) {
        let old = |at: Option<i64>| at.is_none_or(|at| at + USE_WRITTEN_MS <= now_ms);
        if !old(key.last_used_at_ms) {
            return;
        }
        let written = self.alter::<KeyRecord>(&key.id, |record, now_ms| {
            if !old(record.last_used_at_ms) {
                return Ok(documents::Altered::No);
            }
            record.last_used_at_ms = Some(now_ms);
            Ok(documents::Altered::Quietly)
        });
        if let Err(error) = written.await {
            tracing::warn!(
                key = key.id,
                error = &error as &dyn std::error::Error,
                "the use of a key was not written down"
            );
        }
    }
}
