//! Asks for steps in the name of a private trainer, which waits for them. Heartbeats and wishes go on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument;
use trainyard_scheduler::port::control_plane::{ControlPlane, LeaseError, LeaseId, ReservedSteps};
use trainyard_scheduler::trace::carried;

use crate::agent::Context;

/// The first pause after a call without an answer, which doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a trainer waits for: one answer at a time.
pub(crate) struct Reservations {
    control: Arc<dyn ControlPlane>,
    lease: LeaseId,
    asked: JoinSet<Result<ReservedSteps, LeaseError>>,
}

impl Reservations {
    pub(crate) fn of(context: &Context, lease: &LeaseId) -> Self {
        let (control, lease) = (Arc::clone(&context.control), lease.clone());
        Self { control, lease, asked: JoinSet::new() }
    }

    /// Asks for the steps after `from` up to `until`. A trainer that asks again wants the newer answer alone.
    pub(crate) fn ask(&mut self, from: u64, until: u64) {
        let (control, lease) = (Arc::clone(&self.control), self.lease.clone());
        self.asked = JoinSet::new();
        let asking = async move { reserve(control.as_ref(), &lease, from, until).await };
        self.asked.spawn(carried(asking.in_current_span()));
    }

    /// Whether the trainer waits.
    pub(crate) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The answer, once there is one. May be dropped and called again.
    pub(crate) async fn answer(&mut self) -> Result<ReservedSteps, LeaseError> {
        match self.asked.join_next().await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => Err(LeaseError::Refused(format!("nobody asked: {error}"))),
            None => std::future::pending().await,
        }
    }
}

/// Asks until there is a definite answer, however long: who keeps the lease knows when it is over.
async fn reserve(
    control: &dyn ControlPlane,
    lease: &LeaseId,
    from: u64,
    until: u64,
) -> Result<ReservedSteps, LeaseError> {
    let mut pause = PAUSE;
    loop {
        match control.reserve_steps(lease, from, until).await {
            Err(LeaseError::Unavailable(reason)) => {
                tracing::warn!(reason, "steps were not reserved yet; asking again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            answer => return answer,
        }
    }
}
