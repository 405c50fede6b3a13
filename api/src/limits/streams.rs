//! How many event streams each tenant has open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;
use trainyard_openapi::id::TenantId;

/// Open streams by tenant; a tenant without one is not in it.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<TenantId, u32>>>);

/// An open stream. Dropped, it counts no more.
pub(crate) struct OpenStream {
    streams: Streams,
    tenant: TenantId,
    all: IntGauge,
}

impl Streams {
    /// One more of the tenant, and of `all`; `None` where the tenant has `limit` already.
    pub(super) fn open(&self, tenant: &TenantId, limit: u32, all: &IntGauge) -> Option<OpenStream> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(tenant).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        open.insert(tenant.clone(), count + 1);
        all.inc();
        Some(OpenStream { streams: self.clone(), tenant: tenant.clone(), all: all.clone() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.all.dec();
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.tenant);
            }
        }
    }
}
