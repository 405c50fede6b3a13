//! What operators do: make tenants and keys, change them, read their audit logs.

use serde_json::json;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::limits::{
    KEY_OVERLAP_SECONDS_MAX, KEY_SECONDS_MAX, KEY_SECONDS_MIN, TENANT_NAME_CHARS_MAX,
    TENANT_WEIGHT_MAX,
};
use trainyard_openapi::page::{Page, PageRequest};
use trainyard_openapi::tenant::{
    AuditEvent, CreateKey, CreateTenant, RotateKey, Scope, Tenant, TenantKey, TenantStatus,
    UpdateTenant,
};

use super::Scheduler;
use super::documents::{Altered, json as as_internal};
use crate::audit::{AuditEntry, AuditRecord};
use crate::clock::milliseconds;
use crate::error::Result;
use crate::key::ApiKey;
use crate::port::document::Change;
use crate::tenant::{KeyRecord, TenantContext, TenantRecord};

/// For how long the old key works beside the new one where the request does not say, in seconds.
const OVERLAP_SECONDS: u64 = 86_400;

impl Scheduler {
    /// Makes a tenant. It has no key yet.
    ///
    /// # Errors
    /// A bad name.
    pub async fn create_tenant(&self, ctx: &TenantContext, new: &CreateTenant) -> Result<Tenant> {
        check_name(&new.name)?;
        check_weight(new.weight)?;
        let now_ms = self.store().now_ms().await?;
        let mut record = TenantRecord::new(TenantId::generate()?, &new.name, now_ms);
        record.quota = new.quota.clone();
        record.weight = new.weight;
        let detail = json!({"name": record.name, "quota": record.quota, "weight": record.weight});
        let entry = of_tenant(&record.id, ctx, now_ms, "tenant.created", &record.id, detail);
        let change = Change::audited(entry).put(&record, 1).map_err(as_internal)?;
        self.store().apply(&change).await?;
        Ok(tenant_of(&record))
    }

    /// Tenants, newest first.
    ///
    /// # Errors
    /// A bad cursor.
    pub async fn tenants(&self, _: &TenantContext, page: &PageRequest) -> Result<Page<Tenant>> {
        let (records, has_more) = self.documents::<TenantRecord>("", page).await?;
        let tenants = records.iter().map(tenant_of).collect();
        Ok(Page::new(tenants, has_more, |tenant: &Tenant| tenant.id.to_string()))
    }

    /// A tenant.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn tenant(&self, _: &TenantContext, id: &TenantId) -> Result<Tenant> {
        Ok(tenant_of(&self.tenant_record(id).await?))
    }

    /// Changes a tenant: its name, its quota, whether its keys work.
    ///
    /// # Errors
    /// `not_found`; a bad name; `in_use` for an operator who would lock themselves out.
    pub async fn update_tenant(
        &self,
        ctx: &TenantContext,
        id: &TenantId,
        update: &UpdateTenant,
    ) -> Result<Tenant> {
        update.name.as_deref().map_or(Ok(()), check_name)?;
        update.weight.map_or(Ok(()), check_weight)?;
        let suspends = update.status == Some(TenantStatus::Suspended);
        if suspends && ctx.tenant() == id {
            let text = "the tenant of the key in use cannot be suspended with that key";
            return Err(ApiError::field(ErrorCode::InUse, "status", text).into());
        }
        if update.status == Some(TenantStatus::Erasing) {
            let text = "'erasing' cannot be set: delete the tenant instead";
            return Err(ApiError::field(ErrorCode::InvalidValue, "status", text).into());
        }
        let altered = self.alter::<TenantRecord>(id.as_str(), |record, now_ms| {
            check_not_erasing(record)?;
            let before = record.clone();
            let UpdateTenant { name, status, quota, weight } = update.clone();
            record.name = name.unwrap_or_else(|| before.name.clone());
            record.status = status.unwrap_or(before.status);
            record.quota = quota.unwrap_or_else(|| before.quota.clone());
            record.weight = weight.unwrap_or(before.weight);
            if *record == before {
                return Ok(Altered::No);
            }
            let TenantRecord { name, status, quota, weight, .. } = &*record;
            let detail = json!({"name": name, "status": status, "quota": quota, "weight": weight});
            Ok(Altered::Audited(of_tenant(id, ctx, now_ms, "tenant.updated", id, detail)))
        });
        let record = altered.await?.ok_or_else(|| not_found("tenant", id.as_str()))?;
        self.inner.keys.forget();
        self.inner.line.changed();
        self.inner.work.notify_waiters();
        Ok(tenant_of(&record))
    }

    /// Makes a key. The answer holds it whole, once.
    ///
    /// # Errors
    /// `not_found`; a bad name, scope or time.
    pub async fn create_key(
        &self,
        ctx: &TenantContext,
        tenant: &TenantId,
        new: &CreateKey,
    ) -> Result<TenantKey> {
        check_name(&new.name)?;
        let scopes = new.scopes.clone().unwrap_or_else(|| Scope::TENANT.to_vec());
        if scopes.is_empty() {
            let text = "'scopes' must name at least one scope, or be left out for all that a tenant can have";
            return Err(ApiError::field(ErrorCode::InvalidValue, "scopes", text).into());
        }
        let life = new.expires_in_seconds;
        if let Some(seconds) = life
            && !(KEY_SECONDS_MIN..=KEY_SECONDS_MAX).contains(&seconds)
        {
            let param = "expires_in_seconds";
            return Err(out_of_range(param, KEY_SECONDS_MIN, KEY_SECONDS_MAX, seconds).into());
        }
        check_not_erasing(&self.tenant_record(tenant).await?)?;
        let now_ms = self.store().now_ms().await?;
        let key = ApiKey::generate()?;
        let mut record = KeyRecord::new(&key, tenant, &new.name, scopes, now_ms);
        record.expires_at_ms = life.map(|seconds| now_ms + milliseconds(seconds));
        let detail = json!({"name": record.name, "scopes": record.scopes, "expires_at_ms": record.expires_at_ms});
        let entry = of_tenant(tenant, ctx, now_ms, "key.created", &record.id, detail);
        let change = Change::audited(entry).put(&record, 1).map_err(as_internal)?;
        self.store().apply(&change).await?;
        Ok(TenantKey { key: Some(key.reveal()), ..key_of(&record) })
    }

    /// Keys of a tenant, newest first, without their secrets.
    ///
    /// # Errors
    /// `not_found`; a bad cursor.
    pub async fn keys(
        &self,
        _: &TenantContext,
        tenant: &TenantId,
        page: &PageRequest,
    ) -> Result<Page<TenantKey>> {
        self.tenant_record(tenant).await?;
        let (records, has_more) = self.documents::<KeyRecord>(tenant.as_str(), page).await?;
        let keys = records.iter().map(key_of).collect();
        Ok(Page::new(keys, has_more, |key: &TenantKey| key.id.clone()))
    }

    /// A key, without its secret.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn key(&self, _: &TenantContext, tenant: &TenantId, id: &str) -> Result<TenantKey> {
        Ok(key_of(&self.key_record(tenant, id).await?))
    }

    /// Revokes a key: at once in this process, within 30 s in every other.
    ///
    /// # Errors
    /// `not_found`; `in_use` for the key that asks.
    pub async fn revoke_key(
        &self,
        ctx: &TenantContext,
        tenant: &TenantId,
        id: &str,
    ) -> Result<TenantKey> {
        if ctx.key().is_some_and(|key| key.id == id) {
            let text = "a key cannot revoke itself; use another operator's key";
            return Err(ApiError::new(ErrorCode::InUse, text).into());
        }
        self.key_record(tenant, id).await?;
        let altered = self.alter::<KeyRecord>(id, |record, now_ms| {
            if record.revoked_at_ms.is_some() {
                return Ok(Altered::No);
            }
            record.revoked_at_ms = Some(now_ms);
            Ok(Altered::Audited(of_tenant(tenant, ctx, now_ms, "key.revoked", id, json!({}))))
        });
        let record = altered.await?.ok_or_else(|| not_found("key", id))?;
        self.inner.keys.forget();
        Ok(key_of(&record))
    }

    /// Replaces a key by a new one with the same name, scopes and time of expiry. Both work for the time of the overlap.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` for a key that works no more; a bad overlap.
    pub async fn rotate_key(
        &self,
        ctx: &TenantContext,
        tenant: &TenantId,
        id: &str,
        rotate: &RotateKey,
    ) -> Result<TenantKey> {
        let overlap = rotate.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
        if overlap > KEY_OVERLAP_SECONDS_MAX {
            let max = KEY_OVERLAP_SECONDS_MAX;
            return Err(out_of_range("overlap_seconds", 0, max, overlap).into());
        }
        self.key_record(tenant, id).await?;
        let Some((mut old, rev)) = self.document::<KeyRecord>(id).await? else {
            return Err(not_found("key", id).into());
        };
        let now_ms = self.store().now_ms().await?;
        if !old.is_live(now_ms) {
            let text = "the key was revoked or has expired; make a new one instead";
            return Err(ApiError::new(ErrorCode::InvalidState, text).into());
        }
        let key = ApiKey::generate()?;
        let mut new = KeyRecord::new(&key, tenant, &old.name, old.scopes.clone(), now_ms);
        new.expires_at_ms = old.expires_at_ms;
        let until = now_ms + milliseconds(overlap);
        old.expires_at_ms = Some(old.expires_at_ms.map_or(until, |at| at.min(until)));
        let detail = json!({"new": new.id, "expires_at_ms": old.expires_at_ms});
        let entry = of_tenant(tenant, ctx, now_ms, "key.rotated", id, detail);
        let change =
            Change::audited(entry).put(&old, rev + 1).and_then(|change| change.put(&new, 1));
        self.store().apply(&change.map_err(as_internal)?).await?;
        self.inner.keys.forget();
        Ok(TenantKey { key: Some(key.reveal()), ..key_of(&new) })
    }

    /// A tenant's audit log, oldest first; `after` is the place of the last entry seen.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn audit_log(
        &self,
        _: &TenantContext,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Page<AuditEvent>> {
        self.tenant_record(tenant).await?;
        let mut records = self.store().audit(tenant, after, limit.saturating_add(1)).await?;
        let has_more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let events = records.into_iter().map(event_of).collect();
        Ok(Page::new(events, has_more, |event: &AuditEvent| event.id.clone()))
    }

    pub(super) async fn tenant_record(&self, id: &TenantId) -> Result<TenantRecord> {
        let found = self.document::<TenantRecord>(id.as_str()).await?;
        Ok(found.ok_or_else(|| not_found("tenant", id.as_str()))?.0)
    }

    async fn key_record(&self, tenant: &TenantId, id: &str) -> Result<KeyRecord> {
        let found = self.document::<KeyRecord>(id).await?.map(|(record, _)| record);
        let own = found.filter(|record| record.tenant == *tenant);
        Ok(own.ok_or_else(|| not_found("key", id))?)
    }
}

pub(super) fn of_tenant(
    tenant: &TenantId,
    ctx: &TenantContext,
    now_ms: i64,
    action: &str,
    target: impl ToString,
    detail: serde_json::Value,
) -> AuditEntry {
    AuditEntry { tenant: tenant.clone(), ..Scheduler::audited(ctx, now_ms, action, target, detail) }
}

fn tenant_of(record: &TenantRecord) -> Tenant {
    Tenant {
        id: record.id.clone(),
        object: "tenant".to_string(),
        created_at: record.created_at_ms / 1000,
        name: record.name.clone(),
        status: record.status,
        quota: record.quota.clone(),
        weight: record.weight,
    }
}

fn key_of(record: &KeyRecord) -> TenantKey {
    let seconds = |at_ms: Option<i64>| at_ms.map(|at_ms| at_ms / 1000);
    TenantKey {
        id: record.id.clone(),
        object: "api_key".to_string(),
        tenant_id: record.tenant.clone(),
        name: record.name.clone(),
        scopes: record.scopes.clone(),
        created_at: record.created_at_ms / 1000,
        expires_at: seconds(record.expires_at_ms),
        revoked_at: seconds(record.revoked_at_ms),
        last_used_at: seconds(record.last_used_at_ms),
        key: None,
    }
}

fn event_of(record: AuditRecord) -> AuditEvent {
    let AuditRecord { seq, prev, hash, entry } = record;
    AuditEvent {
        id: seq.to_string(),
        object: "audit.event".to_string(),
        created_at: entry.at_ms / 1000,
        created_at_ms: entry.at_ms,
        tenant_id: entry.tenant,
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        detail: entry.detail,
        prev_hash: prev,
        hash,
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let chars = name.chars().count();
    if (1..=TENANT_NAME_CHARS_MAX).contains(&chars) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let text = format!(
        "'name' must have 1 to {TENANT_NAME_CHARS_MAX} characters and no control characters; it has {chars}"
    );
    Err(ApiError::field(ErrorCode::InvalidValue, "name", text))
}

fn check_weight(weight: u32) -> Result<(), ApiError> {
    match (1..=TENANT_WEIGHT_MAX).contains(&weight) {
        true => Ok(()),
        false => Err(out_of_range("weight", 1, TENANT_WEIGHT_MAX.into(), weight.into())),
    }
}

/// Nothing of a tenant that is being deleted comes back.
fn check_not_erasing(record: &TenantRecord) -> Result<(), ApiError> {
    match record.status {
        TenantStatus::Erasing => {
            let text = format!("the tenant {} is being deleted", record.id);
            Err(ApiError::new(ErrorCode::InvalidState, text))
        }
        TenantStatus::Active | TenantStatus::Suspended => Ok(()),
    }
}

fn out_of_range(param: &str, min: u64, max: u64, seen: u64) -> ApiError {
    let text = format!("'{param}' must be between {min} and {max}, not {seen}");
    ApiError::field(ErrorCode::InvalidValue, param, text)
}

pub(super) fn not_found(what: &str, id: &str) -> ApiError {
    let id: String = id.chars().filter(|c| !c.is_control()).take(80).collect();
    ApiError::field(ErrorCode::NotFound, "id", format!("No such {what}: {id}"))
}
