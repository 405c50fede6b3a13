//! Keeps the lease while a run goes on, and hears what is wanted of it.
//!
//! Two tasks: heartbeats, which keep the lease, and a long poll, which brings wishes at once. Both write into one place that the run
//! watches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;
use trainyard_openapi::extension::Progress;
use trainyard_scheduler::port::control_plane::{
    Claim, ControlPlane, Directive, LeaseError, LeaseId,
};

use crate::agent::Context;

/// How long a poll waits for a wish.
const POLL: Duration = Duration::from_secs(10);
/// Pause between polls that answer at once.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// What the run shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Continue,
    /// Hold still: the control plane has not answered for so long that the job may soon be another's.
    Freeze,
    /// As the control plane says.
    Obey(Directive),
    /// End at once; the job is another's.
    Fenced,
}

/// The lease of a run. Dropping it ends its tasks.
pub(crate) struct Keeper {
    pub(crate) orders: watch::Receiver<Order>,
    progress: Arc<Mutex<Progress>>,
    _tasks: JoinSet<()>,
}

impl Keeper {
    /// Keeps the lease of `claim`, which another process may give for a shorter time than this one's settings are made for.
    pub(crate) fn start(context: &Context, claim: &Claim) -> Self {
        let lease = &claim.lease;
        let lease_time = Duration::from_secs(claim.lease_seconds);
        let (every, self_fence) =
            times(context.config.heartbeat, context.config.self_fence, lease_time);
        if (every, self_fence) != (context.config.heartbeat, context.config.self_fence) {
            tracing::warn!(
                lease_seconds = claim.lease_seconds,
                ?every,
                ?self_fence,
                "the lease is short for the settings of this executor: heartbeats come sooner"
            );
        }
        let (sender, orders) = watch::channel(Order::Continue);
        let sender = Arc::new(sender);
        let progress = Arc::new(Mutex::new(Progress::default()));
        let mut tasks = JoinSet::new();
        // In the run's log, but not in its trace: heartbeats and polls would bury it.
        let beating = beat(
            Arc::clone(&context.control),
            lease.clone(),
            Arc::clone(&progress),
            Arc::clone(&sender),
            every,
            self_fence,
        );
        tasks.spawn(beating.in_current_span());
        let listening = listen(Arc::clone(&context.control), lease.clone(), sender);
        tasks.spawn(listening.in_current_span());
        Self { orders, progress, _tasks: tasks }
    }

    /// What the next heartbeat reports.
    pub(crate) fn set_progress(&self, progress: &Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress.clone();
    }
}

/// The times between heartbeats and without an answer, so that a run stops before a lease of `lease` is over.
fn times(heartbeat: Duration, self_fence: Duration, lease: Duration) -> (Duration, Duration) {
    if self_fence < lease {
        return (heartbeat, self_fence);
    }
    let self_fence = lease * 3 / 4;
    (heartbeat.min(self_fence / 2), self_fence)
}

async fn beat(
    control: Arc<dyn ControlPlane>,
    lease: LeaseId,
    progress: Arc<Mutex<Progress>>,
    orders: Arc<watch::Sender<Order>>,
    every: Duration,
    self_fence: Duration,
) {
    // Monotonic: a clock that is set does not matter.
    let mut answered = Instant::now();
    loop {
        tokio::time::sleep(every).await;
        let now = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = tokio::time::timeout(every, control.heartbeat(&lease, &now)).await;
        match answer {
            Ok(Ok(directive)) => {
                answered = Instant::now();
                give(&orders, directive);
            }
            Ok(Err(LeaseError::Fenced | LeaseError::Stale | LeaseError::Refused(_))) => {
                orders.send_replace(Order::Fenced);
                return;
            }
            Ok(Err(LeaseError::Unavailable(_))) | Err(_) => {
                if answered.elapsed() > self_fence {
                    orders.send_if_modified(|order| {
                        let freeze = *order == Order::Continue;
                        if freeze {
                            *order = Order::Freeze;
                        }
                        freeze
                    });
                }
            }
        }
    }
}

async fn listen(control: Arc<dyn ControlPlane>, lease: LeaseId, orders: Arc<watch::Sender<Order>>) {
    loop {
        match control.directive(&lease, POLL).await {
            Ok(directive) => {
                give(&orders, directive);
                if directive != Directive::Continue {
                    tokio::time::sleep(POLL_PAUSE).await;
                }
            }
            Err(LeaseError::Unavailable(_)) => tokio::time::sleep(POLL_PAUSE).await,
            Err(LeaseError::Fenced | LeaseError::Stale | LeaseError::Refused(_)) => {
                orders.send_replace(Order::Fenced);
                return;
            }
        }
    }
}

/// A wish stays once it is there: the run is already ending for it. Only a stronger one replaces it.
fn give(orders: &watch::Sender<Order>, directive: Directive) {
    let new = match directive {
        Directive::Continue => Order::Continue,
        other => Order::Obey(other),
    };
    orders.send_if_modified(|order| {
        let replace = match (*order, new) {
            (Order::Fenced, _) => false,
            (Order::Freeze, _) => true,
            (old, Order::Obey(Directive::Cancel | Directive::TimeUp)) => old != new,
            (Order::Continue, Order::Obey(_)) => true,
            _ => false,
        };
        if replace {
            *order = new;
        }
        replace
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stops_before_its_lease_is_over() {
        let seconds = Duration::from_secs;
        assert_eq!(times(seconds(15), seconds(45), seconds(60)), (seconds(15), seconds(45)));
        assert_eq!(times(seconds(15), seconds(45), seconds(40)), (seconds(15), seconds(30)));
        assert_eq!(times(seconds(15), seconds(45), seconds(8)), (seconds(3), seconds(6)));
    }
}
