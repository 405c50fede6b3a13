//! The guards of the dispatch protocol, by name, so that a build with the feature `mutants` can leave one out. What checks the protocol has
//! to notice each; a check that does not is worth nothing. Without the feature every guard is kept, and there is no setting for it.

/// A guard of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A run changes its job only under the lease that holds it.
    Fence,
    /// A lease is known by its nonce too, not by its number alone.
    Nonce,
    /// A run whose lease has expired is given up.
    Reaper,
    /// A ticket that nobody took is issued anew.
    Redispatch,
    /// A request under a known key is the earlier one.
    Idempotency,
    /// A job that runs cannot be claimed.
    SingleClaim,
}

#[cfg(feature = "mutants")]
impl std::str::FromStr for Guard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fence" => Ok(Self::Fence),
            "nonce" => Ok(Self::Nonce),
            "reaper" => Ok(Self::Reaper),
            "redispatch" => Ok(Self::Redispatch),
            "idempotency" => Ok(Self::Idempotency),
            "single-claim" => Ok(Self::SingleClaim),
            _ => Err(format!("'{text}' is no guard of the protocol")),
        }
    }
}

impl crate::config::SchedulerConfig {
    /// Whether a guard is in force.
    #[cfg(feature = "mutants")]
    pub(crate) fn keeps(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// Whether a guard is in force: always.
    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "with the feature it depends on the configuration")]
    pub(crate) const fn keeps(&self, _: Guard) -> bool {
        true
    }
}
