//! The protocol, and the protocol with one thing broken.

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As it is built.
    Protocol,
    /// The store loses its last claim, as a failover without acknowledged replication does.
    ForgottenClaim,
    /// Publishes count as done without a confirm.
    NoConfirms,
    /// Messages are acknowledged when they come, not after the claim.
    AckOnReceive,
    /// Broken: a checkpoint or result is taken from whoever brings it.
    NoFence,
    /// Broken: the fence compares the epoch alone, and the store loses its last claim.
    NoNonce,
    /// Broken: nobody looks for expired leases or tickets that nobody took.
    NoReaper,
    /// Broken: a ticket that nobody took is not issued again.
    NoRedispatch,
    /// Broken: a submit that is repeated makes another job.
    NoIdempotency,
    /// Broken: the store answers before the write is on disk.
    LazyFsync,
    /// Broken: a ticket is good for a job that runs already.
    ClaimWhileRunning,
}

impl Variant {
    /// Each of them.
    pub const ALL: [Self; 11] = [
        Self::Protocol,
        Self::ForgottenClaim,
        Self::NoConfirms,
        Self::AckOnReceive,
        Self::NoFence,
        Self::NoNonce,
        Self::NoReaper,
        Self::NoRedispatch,
        Self::NoIdempotency,
        Self::LazyFsync,
        Self::ClaimWhileRunning,
    ];

    /// What has to be found wrong with it: the name of a property, or of being [stuck](crate::stuck); nothing where the protocol
    /// has to bear it.
    pub const fn flaw(self) -> Option<&'static str> {
        use crate::{properties as p, stuck};
        match self {
            Self::Protocol | Self::ForgottenClaim | Self::NoConfirms | Self::AckOnReceive => None,
            Self::NoFence => Some(p::ONLY_THE_HOLDER_COMMITS),
            Self::NoNonce => Some(p::ONE_UNFENCED_RUN),
            Self::NoReaper | Self::NoRedispatch => Some(stuck::NAME),
            Self::NoIdempotency => Some(p::ONE_JOB),
            Self::LazyFsync => Some(p::NOTHING_ACKNOWLEDGED_IS_LOST),
            Self::ClaimWhileRunning => Some(p::NO_LIVE_LEASE_IS_TAKEN),
        }
    }

    /// Whether the store can lose a claim that it has answered.
    pub(crate) const fn forgets(self) -> bool {
        matches!(self, Self::ForgottenClaim | Self::NoNonce)
    }
}
