//! Links: contents that clients fetch from the object store themselves.

use std::time::Duration;

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::FileId;
use trainyard_openapi::link::Link;

use super::Scheduler;
use crate::error::Result;
use crate::tenant::TenantContext;

impl Scheduler {
    /// A link to a file's content.
    ///
    /// # Errors
    /// `file_not_found`; `not_available` where the objects lie in no store that clients can reach.
    pub async fn file_link(&self, ctx: &TenantContext, id: &FileId) -> Result<Link> {
        let file = self.file_record(ctx, id).await?;
        self.link(&file.key, &file.filename, file.bytes, &file.sha256).await
    }

    /// A link to a file of a result or checkpoint.
    ///
    /// # Errors
    /// `model_not_found`, `not_found`; `not_available` where the objects lie in no store that clients can reach.
    pub async fn artifact_link(
        &self,
        ctx: &TenantContext,
        model: &str,
        name: &str,
    ) -> Result<Link> {
        let (key, artifact) = self.artifact_of(ctx, model, name).await?;
        self.link(&key, &artifact.name, artifact.bytes, &artifact.sha256).await
    }

    async fn link(&self, key: &str, filename: &str, bytes: u64, sha256: &str) -> Result<Link> {
        let life = Duration::from_secs(self.config().link_seconds);
        let now_ms = self.store().now_ms().await?;
        let Some(url) = self.objects().link(key, filename, life).await? else {
            let text = "this server keeps its objects where clients cannot reach them (objects = file:): read the content instead";
            return Err(ApiError::new(ErrorCode::NotAvailable, text).into());
        };
        Ok(Link {
            object: "link".to_string(),
            url,
            expires_at: now_ms / 1000 + i64::try_from(life.as_secs()).unwrap_or(i64::MAX),
            filename: filename.to_string(),
            bytes,
            sha256: sha256.to_string(),
        })
    }
}
