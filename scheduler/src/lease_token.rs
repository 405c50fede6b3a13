//! Lease tokens: what an executor of another process shows to act for one claim. A token is HMAC-SHA256 over the claim's job, epoch and
//! nonce, with a secret that lies in the record: nothing is kept of it, and every process on the record can check it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::port::control_plane::LeaseId;
use crate::port::document::{Document, Kind};

const PREFIX: &str = "tyl_";
/// Bytes of the secret: as many as the hash has.
const SECRET_BYTES: usize = 32;

/// The secret of a record. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSecret {
    /// In hexadecimal.
    secret: String,
    /// When it was made, in Unix milliseconds.
    made_at_ms: i64,
}

impl fmt::Debug for LeaseSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseSecret").field("made_at_ms", &self.made_at_ms).finish_non_exhaustive()
    }
}

impl LeaseSecret {
    /// The only one's id.
    pub const ID: &'static str = "lease";

    /// A new random one.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn generate(now_ms: i64) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self { secret: hex::encode(bytes), made_at_ms: now_ms })
    }

    /// The token of a claim.
    pub fn token(&self, lease: &LeaseId) -> String {
        format!("{PREFIX}{}", hex::encode(self.mac(lease).finalize().into_bytes()))
    }

    /// Whether `token` is that of this very claim, in time that does not tell how much of it fits.
    pub fn fits(&self, lease: &LeaseId, token: &str) -> bool {
        let bytes = token.strip_prefix(PREFIX).and_then(|text| hex::decode(text).ok());
        bytes.is_some_and(|bytes| self.mac(lease).verify_slice(&bytes).is_ok())
    }

    fn mac(&self, lease: &LeaseId) -> Hmac<Sha256> {
        let LeaseId { job, epoch, nonce } = lease;
        // The text is the key: 64 characters, the block size of the hash, so that it is taken as it is.
        let key: [u8; 64] =
            std::array::from_fn(|at| self.secret.as_bytes().get(at).copied().unwrap_or_default());
        let mut mac = Hmac::<Sha256>::new(&key.into());
        // None of the three can hold a line break.
        mac.update(format!("lease\n{job}\n{epoch}\n{nonce}").as_bytes());
        mac
    }
}

impl Document for LeaseSecret {
    const KIND: Kind = Kind::LeaseSecret;

    fn id(&self) -> String {
        Self::ID.to_string()
    }

    fn scope(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainyard_openapi::id::{JobId, Nonce};

    #[test]
    fn a_token_is_good_for_one_claim_under_one_secret() {
        let lease = LeaseId {
            job: JobId::generate().unwrap(),
            epoch: 3,
            nonce: Nonce::generate().unwrap(),
        };
        let secret = LeaseSecret::generate(0).unwrap();
        let token = secret.token(&lease);
        assert!(secret.fits(&lease, &token));
        let others = [
            LeaseId { job: JobId::generate().unwrap(), ..lease.clone() },
            LeaseId { epoch: 4, ..lease.clone() },
            LeaseId { nonce: Nonce::generate().unwrap(), ..lease.clone() },
        ];
        assert!(others.iter().all(|other| !secret.fits(other, &token)));
        assert!(!LeaseSecret::generate(0).unwrap().fits(&lease, &token));
        for wrong in ["", "tyl_", &token[..token.len() - 2], &token[4..], &format!("{token}00")] {
            assert!(!secret.fits(&lease, wrong), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains(&secret.secret));
    }
}
