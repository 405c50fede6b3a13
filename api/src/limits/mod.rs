//! How much one caller may ask for at a time: requests a minute, bad credentials a minute, open event streams.
//!
//! Shared by all threads of a server: clones are the same limits.

mod bucket;
mod streams;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trainyard_openapi::id::TenantId;
use trainyard_scheduler::TenantContext;

use crate::metrics::{Limit, Metrics};
use bucket::Buckets;
pub(crate) use bucket::{Standing, openai_time};
pub(crate) use streams::OpenStream;
use streams::Streams;

/// What holds where a tenant's quota says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests a minute of a tenant, all its keys together.
    pub requests_per_minute: u32,
    /// Requests a minute of one key, or of one subject of tokens.
    pub requests_per_minute_per_key: u32,
    /// Requests with a bad credential, or none, that one address may send in a minute.
    pub bad_credentials_per_minute: u32,
    /// Event streams that a tenant may have open at once.
    pub streams_per_tenant: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            requests_per_minute: 6_000,
            requests_per_minute_per_key: 6_000,
            bad_credentials_per_minute: 120,
            streams_per_tenant: 100,
        }
    }
}

/// The limits of one server and what has been used of them. Make it once and clone it for each thread.
#[derive(Clone, Default)]
pub struct Limits(Arc<Inner>);

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Limits").field(&self.0.settings).finish()
    }
}

#[derive(Default)]
struct Inner {
    settings: LimitSettings,
    tenants: Buckets<String>,
    keys: Buckets<String>,
    peers: Buckets<IpAddr>,
    streams: Streams,
    metrics: Metrics,
}

/// A limit that was reached, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) text: String,
    pub(crate) wait: Duration,
    pub(crate) standing: Option<Standing>,
}

impl Limits {
    /// Limits of which nothing has been used.
    pub fn new(settings: LimitSettings) -> Self {
        Self::counted(settings, Metrics::default())
    }

    /// The same, counting into `metrics` who reaches one.
    pub fn counted(settings: LimitSettings, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { settings, metrics, ..Inner::default() }))
    }

    /// Counts a request of `ctx`; gives how the tighter of its two limits stands.
    pub(crate) fn request(&self, ctx: &TenantContext) -> Result<Standing, Reached> {
        let Inner { settings, tenants, keys, metrics, .. } = self.0.as_ref();
        let quota = ctx.quota();
        let (now, tenant) = (Instant::now(), ctx.tenant().to_string());
        // The same subject of an issuer may act for several tenants.
        let key = format!("{tenant} {}", ctx.actor());
        let of_key =
            quota.requests_per_minute_per_key.unwrap_or(settings.requests_per_minute_per_key);
        let of_tenant = quota.requests_per_minute.unwrap_or(settings.requests_per_minute);
        let reached = |which: Limit, what: &str, limit: u32, wait: Duration| {
            metrics.limited(which);
            Reached {
                text: format!(
                    "Rate limit reached for {what}: {limit} requests a minute are allowed. Please try again in {}.",
                    openai_time(wait)
                ),
                wait,
                standing: Some(Standing { limit, remaining: 0, reset: wait }),
            }
        };
        let own = format!("this {}", ctx.credential());
        let by_key =
            keys.take(key, of_key, now).map_err(|wait| reached(Limit::Key, &own, of_key, wait))?;
        let by_tenant = tenants
            .take(tenant, of_tenant, now)
            .map_err(|wait| reached(Limit::Tenant, "this organization", of_tenant, wait))?;
        Ok(if by_key.remaining < by_tenant.remaining { by_key } else { by_tenant })
    }

    /// Whether the address may have a credential looked at.
    pub(crate) fn may_try(&self, peer: IpAddr) -> Result<(), Reached> {
        match self.0.peers.barred(&network(peer), Instant::now()) {
            None => Ok(()),
            Some(wait) => Err(self.too_many(wait)),
        }
    }

    /// Counts a bad credential. Beyond the limit the address is barred for a while.
    pub(crate) fn bad_credential(&self, peer: IpAddr) -> Result<(), Reached> {
        let limit = self.0.settings.bad_credentials_per_minute;
        let taken = self.0.peers.take(network(peer), limit, Instant::now());
        taken.map(|_| ()).map_err(|wait| self.too_many(wait))
    }

    /// Opens an event stream of the tenant; it counts until it is dropped.
    pub(crate) fn open_stream(&self, tenant: &TenantId) -> Result<OpenStream, Reached> {
        let limit = self.0.settings.streams_per_tenant;
        let metrics = &self.0.metrics;
        Streams::open(&self.0.streams, tenant, limit, metrics.streams()).ok_or_else(|| {
            metrics.limited(Limit::Streams);
            Reached {
                text: format!(
                    "this organization has {limit} event streams open, as many as are allowed at once; close one first"
                ),
                wait: Duration::from_secs(1),
                standing: None,
            }
        })
    }

    fn too_many(&self, wait: Duration) -> Reached {
        self.0.metrics.limited(Limit::Credentials);
        let limit = self.0.settings.bad_credentials_per_minute;
        let text = format!(
            "too many requests without a valid API key came from this address: {limit} a minute are allowed"
        );
        Reached { text, wait, standing: None }
    }
}

/// What one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_is_barred_and_others_are_not() {
        let limits = Limits::new(LimitSettings {
            bad_credentials_per_minute: 3,
            ..LimitSettings::default()
        });
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..3 {
            limits.may_try(peer).unwrap();
            limits.bad_credential(peer).unwrap();
        }
        let wait = limits.bad_credential(peer).unwrap_err().wait;
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
        limits.may_try("2001:db8::ffff:1".parse().unwrap()).unwrap_err();
        limits.may_try("2001:db8:0:1::1".parse().unwrap()).unwrap();
        limits.may_try("192.0.2.1".parse().unwrap()).unwrap();
    }
}
