//! Name resolution that gives allowed addresses alone.
//!
//! The connector itself asks it, so the address that was checked is the address that is connected to: a name that answers
//! differently the second time (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use trainyard_scheduler::webhook::Targets;

/// Asks for the addresses of a name.
pub trait Lookup: Send + Sync {
    /// All addresses of `name`.
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name whose addresses are all of networks that webhooks may not reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host has no address of the public internet")]
pub struct Blocked;

/// The resolver that the connector uses.
pub(crate) struct GuardedResolver {
    pub(crate) targets: Targets,
    pub(crate) lookup: Arc<dyn Lookup>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (targets, found) =
            (self.targets.clone(), self.lookup.lookup(name.as_str().to_string()));
        Box::pin(async move {
            let found = found.await?;
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| targets.allows(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err(Blocked.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}
