//! Says that this executor is there, and that it is about to end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trainyard_scheduler::executor::ENLIST_SECONDS;
use trainyard_scheduler::port::control_plane::{LeaseError, Presence};

use crate::agent::Context;

/// Tries to say that it ends; those who hear nothing notice by themselves.
const GOODBYES: u32 = 3;
/// Pause between those tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Enlists every while until `shutdown`, then says that no more tickets are taken.
pub(crate) async fn tell(context: &Context, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        // Not cut off by the end: what is said next must not be overtaken.
        if let Err(error) = say(context, false).await {
            tracing::warn!(%error, "the control plane did not take note of this executor");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(ENLIST_SECONDS)) => {}
        }
    }
    for _ in 0..GOODBYES {
        match say(context, true).await {
            Err(LeaseError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            _ => return,
        }
    }
}

async fn say(context: &Context, draining: bool) -> Result<(), LeaseError> {
    let config = &context.config;
    let presence = Presence { pool: config.pool.clone(), devices: config.slots, draining };
    context.control.enlist(&config.executor, &presence).await
}
