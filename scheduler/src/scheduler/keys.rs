//! Keys: the first one, and who a key belongs to.

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;

use super::Scheduler;
use crate::error::Result;
use crate::key::ApiKey;
use crate::port::store::KeyRecord;
use crate::tenant::TenantContext;

impl Scheduler {
    /// Makes the first key of a new store, with a tenant of its own. `None` where there is a key already: only its hash is
    /// stored, so it cannot be shown again.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn bootstrap_key(&self) -> Result<Option<String>> {
        if self.store().key_count().await? > 0 {
            return Ok(None);
        }
        let (key, tenant) = (ApiKey::generate()?, TenantId::generate()?);
        let record = KeyRecord {
            id: key.id().to_string(),
            tenant,
            secret_sha256: key.secret_sha256(),
            created_at_ms: self.store().now_ms().await?,
        };
        self.store().put_key(&record).await?;
        Ok(Some(key.reveal()))
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// `invalid_api_key` where it is nobody's; the answer does not tell how close it was.
    pub async fn authenticate(&self, bearer: &str) -> Result<TenantContext> {
        let refused = || ApiError::new(ErrorCode::InvalidApiKey, "Incorrect API key provided");
        let key = ApiKey::parse(bearer).ok_or_else(refused)?;
        // An unknown id costs the same comparison as a wrong secret.
        let record = self.store().key(key.id()).await?;
        let stored = record.as_ref().map_or("", |record| record.secret_sha256.as_str());
        let dummy = "0".repeat(64);
        let matches = key.matches(if stored.is_empty() { &dummy } else { stored });
        match record {
            Some(record) if matches => Ok(TenantContext::new(record.tenant, record.id)),
            _ => Err(refused().into()),
        }
    }
}
