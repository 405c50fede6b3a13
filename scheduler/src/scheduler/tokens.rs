//! Whom a token of the identity provider acts for.

use std::sync::Arc;

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::TenantStatus;

use super::Scheduler;
use crate::error::Result;
use crate::tenant::{Credential, TenantContext, TenantRecord};
use crate::token::Token;

impl Scheduler {
    /// The context of a token whose signature, issuer and audience were found good. It is looked up each time, so a tenant that is
    /// suspended is refused at once.
    ///
    /// # Errors
    /// `invalid_api_key` outside its time and for a tenant that does not exist; `tenant_suspended`.
    pub async fn authenticate_token(&self, token: Token) -> Result<TenantContext> {
        let refused = |text: &str| ApiError::new(ErrorCode::InvalidApiKey, text);
        let now_ms = self.store().now_ms().await?;
        if let Some(why) = token.lapse(now_ms) {
            return Err(refused(why).into());
        }
        // One answer for what is no id and for what is nobody's.
        let unknown = || refused("the token names no tenant of this server");
        let id: TenantId = token.tenant.parse().map_err(|_| unknown())?;
        let tenant = self.document::<TenantRecord>(id.as_str()).await?;
        let (tenant, _) = tenant.ok_or_else(unknown)?;
        if tenant.status == TenantStatus::Erasing {
            return Err(unknown().into());
        }
        if tenant.status == TenantStatus::Suspended {
            let text = "the tenant of this token is suspended; ask the operator of this server";
            return Err(ApiError::new(ErrorCode::TenantSuspended, text).into());
        }
        Ok(TenantContext::new(Arc::new(tenant), Credential::Token(Arc::new(token))))
    }
}
