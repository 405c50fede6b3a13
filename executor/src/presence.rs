//! Says that this executor is there, and that it is about to end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trainyard_scheduler::executor::ENLIST_SECONDS;
use trainyard_scheduler::port::control_plane::{LeaseError, Presence};

use crate::agent::Context;

/// Time to say that it ends; those who hear nothing notice by themselves.
const GOODBYE_MAX: Duration = Duration::from_secs(5);
/// Pause before it is said again that it is there, where nobody took note.
const AGAIN: Duration = Duration::from_secs(2);
/// Pause between tries to say that it ends.
const PAUSE: Duration = Duration::from_millis(500);

/// Enlists every while until `shutdown`, then says that no more tickets are taken.
pub(crate) async fn tell(context: &Context, shutdown: &CancellationToken) {
    tokio::select! {
        // What is said at this moment may arrive late: who said once that it ends has ended.
        () = shutdown.cancelled() => {}
        () = enlist(context) => {}
    }
    let goodbye = async {
        while let Err(LeaseError::Unavailable(_)) = say(context, true).await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(GOODBYE_MAX, goodbye).await.is_err() {
        tracing::warn!("the control plane was not told that this executor ends");
    }
}

async fn enlist(context: &Context) {
    loop {
        let wait = match say(context, false).await {
            Ok(()) => Duration::from_secs(ENLIST_SECONDS),
            Err(error) => {
                tracing::warn!(%error, "the control plane did not take note of this executor");
                AGAIN
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn say(context: &Context, draining: bool) -> Result<(), LeaseError> {
    let config = &context.config;
    let presence = Presence { pool: config.pool.clone(), devices: config.slots, draining };
    context.control.enlist(&config.executor, &presence).await
}
