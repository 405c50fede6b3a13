//! The right to act for a tenant, as a value: without one there is no call to make.

use trainyard_openapi::id::TenantId;

/// Who is asking. Only authentication makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantContext {
    tenant: TenantId,
    key_id: String,
}

impl TenantContext {
    pub(crate) fn new(tenant: TenantId, key_id: String) -> Self {
        Self { tenant, key_id }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The public part of the key that was used; for logs.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}
