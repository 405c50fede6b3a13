//! What has to hold in every state.

use stateright::Property;

use crate::world::{Protocol, World};

/// One request makes one job, however often it is sent.
pub const ONE_JOB: &str = "one job";
/// A job that a client was told of stays there.
pub const NOTHING_ACKNOWLEDGED_IS_LOST: &str = "nothing acknowledged is lost";
/// A checkpoint or result is that of the claim that holds.
pub const ONLY_THE_HOLDER_COMMITS: &str = "only the holder commits";
/// A run that keeps its lease keeps its job.
pub const NO_LIVE_LEASE_IS_TAKEN: &str = "no live lease is taken";
/// The fence would let at most one run write.
pub const ONE_UNFENCED_RUN: &str = "one unfenced run";

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_JOB, |_, world: &World| world.jobs <= 1),
        Property::always(NOTHING_ACKNOWLEDGED_IS_LOST, |_, world: &World| {
            !world.told || world.job.is_some()
        }),
        Property::always(ONLY_THE_HOLDER_COMMITS, |_, world: &World| !world.foreign_commit),
        Property::always(NO_LIVE_LEASE_IS_TAKEN, |_, world: &World| !world.lease_taken),
        Property::always(ONE_UNFENCED_RUN, |model: &Protocol, world: &World| {
            let runs = world.executors.iter().filter_map(|executor| executor.run);
            let job = world.job.as_ref();
            runs.filter(|run| job.is_some_and(|job| job.admits(model.variant, run))).count() <= 1
        }),
    ]
}
