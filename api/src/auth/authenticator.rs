//! From a bearer credential to the tenant: API keys and tokens beside each other.

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::tenant::Scope;
use trainyard_scheduler::error::Result;
use trainyard_scheduler::{Scheduler, TenantContext};

use super::Oidc;

/// Tells whose a credential is.
#[derive(Clone)]
pub(crate) struct Authenticator {
    scheduler: Scheduler,
    tokens: Option<Oidc>,
}

impl Authenticator {
    /// Takes API keys, and tokens where there is something to check them with.
    pub(crate) fn new(scheduler: Scheduler, tokens: Option<Oidc>) -> Self {
        Self { scheduler, tokens }
    }

    /// Whose credential it is.
    ///
    /// # Errors
    /// `invalid_api_key` where it is nobody's; `tenant_suspended`; `service_unavailable` where that cannot be told.
    pub(crate) async fn authenticate(&self, bearer: &str) -> Result<TenantContext> {
        match &self.tokens {
            Some(tokens) if is_token(bearer) => {
                let token = tokens.verify(bearer).await;
                let token = token.inspect_err(|error| tracing::debug!(%error, "refused a token"));
                self.scheduler.authenticate_token(token?).await
            }
            _ => self.scheduler.authenticate(bearer).await,
        }
    }
}

/// Three parts between dots (RFC 7515, 7.1). API keys have no dot.
fn is_token(bearer: &str) -> bool {
    bearer.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// What somebody is told who may not do it.
pub(crate) fn lacks(ctx: &TenantContext, scope: Scope) -> ApiError {
    let (what, scope) = (ctx.credential(), scope.as_str());
    let text = format!("this {what} may not do this: it has no scope '{scope}'");
    ApiError::new(ErrorCode::InsufficientScope, text)
}
