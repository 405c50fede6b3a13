//! API keys: `tyk_live_<id>_<secret><checksum>`.
//!
//! The prefix and the checksum let secret scanners be sure. The secret is 43 base62 characters (256 bits), so a plain SHA-256 is
//! enough at rest: a slow hash would only make every request slow.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use trainyard_openapi::id::random_base62;

const PREFIX: &str = "tyk_live_";
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A whole key. Its `Debug` shows the public part alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: String,
    secret: String,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A new random key.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self { id: random_base62(ID_CHARS)?, secret: random_base62(SECRET_CHARS)? })
    }

    /// Reads a key; `None` where its form or checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if !rest.is_ascii() || rest.len() != ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS {
            return None;
        }
        let (id, rest) = rest.split_at(ID_CHARS);
        let (secret, sum) = rest.strip_prefix('_')?.split_at(SECRET_CHARS);
        let key = Self { id: id.to_string(), secret: secret.to_string() };
        let plain = (id.to_string() + secret).bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain && key.checksum() == sum).then_some(key)
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}{}", self.id, self.secret, self.checksum())
    }

    /// SHA-256 of the secret, in hexadecimal.
    pub fn secret_sha256(&self) -> String {
        hex::encode(Sha256::digest(self.secret.as_bytes()))
    }

    /// Whether `secret_sha256` is this key's, in time that does not tell how much of it fits.
    pub fn matches(&self, secret_sha256: &str) -> bool {
        self.secret_sha256().as_bytes().ct_eq(secret_sha256.as_bytes()).into()
    }

    /// CRC-32 of id and secret in base62.
    fn checksum(&self) -> String {
        let mut sum = crc32fast::hash(format!("{}_{}", self.id, self.secret).as_bytes());
        let mut out = [b'0'; CHECKSUM_CHARS];
        for place in out.iter_mut().rev() {
            *place = BASE62[(sum % 62) as usize];
            sum /= 62;
        }
        out.iter().map(|byte| char::from(*byte)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_damage_is_noticed() {
        let key = ApiKey::generate().unwrap();
        let text = key.reveal();
        assert_eq!(ApiKey::parse(&text), Some(key.clone()));
        assert!(key.matches(&key.secret_sha256()) && !key.matches(&"0".repeat(64)));
        assert!(!format!("{key:?}").contains(&key.secret));
        for at in PREFIX.len()..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(ApiKey::parse(std::str::from_utf8(&damaged).unwrap()), None, "at {at}");
        }
        for wrong in [
            "",
            "tyk_live_",
            "sk-123",
            &text[..text.len() - 1],
            &(text.clone() + "0"),
            &"é".repeat(71),
        ] {
            assert_eq!(ApiKey::parse(wrong), None);
        }
    }
}
