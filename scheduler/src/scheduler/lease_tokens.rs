//! Making and checking lease tokens with the secret of the record.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Scheduler, documents};
use crate::error::Result;
use crate::lease_token::LeaseSecret;
use crate::port::control_plane::LeaseId;
use crate::port::document::Change;
use crate::port::store::StoreError;

/// The secret as it was read last.
#[derive(Default)]
pub(super) struct KnownSecret(Mutex<Option<Arc<LeaseSecret>>>);

impl KnownSecret {
    fn get(&self) -> Option<Arc<LeaseSecret>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, secret: LeaseSecret) -> Arc<LeaseSecret> {
        let secret = Arc::new(secret);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.clone());
        secret
    }
}

impl Scheduler {
    /// The token that shows who holds `lease`.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn lease_token(&self, lease: &LeaseId) -> Result<String> {
        Ok(self.lease_secret().await?.token(lease))
    }

    /// Whether `token` is that of `lease`. It says nothing of whether the lease still holds.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn is_lease_token(&self, lease: &LeaseId, token: &str) -> Result<bool> {
        if self.inner.lease_secret.get().is_some_and(|secret| secret.fits(lease, token)) {
            return Ok(true);
        }
        // A record that was restored from a backup may have another secret by now.
        Ok(self.lease_secret().await?.fits(lease, token))
    }

    /// The secret of the record, which is made where there is none yet.
    async fn lease_secret(&self) -> Result<Arc<LeaseSecret>> {
        loop {
            if let Some((secret, _)) = self.document::<LeaseSecret>(LeaseSecret::ID).await? {
                return Ok(self.inner.lease_secret.put(secret));
            }
            let secret = LeaseSecret::generate(self.store().now_ms().await?)?;
            let change = Change::none().put(&secret, 1).map_err(documents::json)?;
            match self.store().apply(&change).await {
                // Another process made one: it counts.
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
