//! Identifiers. Each kind is a type of its own; no bare `String` names a thing across a function border.
//!
//! An id is a prefix and 24 random base62 characters (143 bits): it cannot be guessed and says what it names.
//! To add a kind, add one line to the `ids!` table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 24;

/// Text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not a {kind} id: expected '{prefix}' and {RANDOM_CHARS} letters or digits")]
pub struct InvalidId {
    /// The kind that was expected, such as `file`.
    pub kind: &'static str,
    /// The prefix of that kind.
    pub prefix: &'static str,
    /// The text seen, cut to 80 characters.
    pub value: String,
}

/// `count` random base62 characters from the operating system's generator, without modulo bias.
pub fn random_base62(count: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(count);
    let mut buffer = [0_u8; 64];
    while text.len() < count {
        getrandom::fill(&mut buffer)?;
        // 248 is the largest multiple of 62 that fits a byte: values above it would favour the first letters.
        let letters = buffer.iter().filter(|byte| **byte < 248);
        for byte in letters.take(count - text.len()) {
            text.push(char::from(ALPHABET[usize::from(*byte % 62)]));
        }
    }
    Ok(text)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// The prefix of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// A new random id.
            ///
            /// # Errors
            /// Only where the operating system gives no random bytes.
            pub fn generate() -> Result<Self, getrandom::Error> {
                Ok(Self(format!("{}{}", $prefix, random_base62(RANDOM_CHARS)?)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid = text.strip_prefix($prefix).is_some_and(|rest| {
                    rest.len() == RANDOM_CHARS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
                });
                if valid {
                    return Ok(Self(text.to_string()));
                }
                let value = text.chars().take(80).collect();
                Err(InvalidId { kind: $kind, prefix: $prefix, value })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

ids! {
    /// An uploaded or produced file.
    FileId, "file", "file-";
    /// A fine-tuning job.
    JobId, "job", "ftjob-";
    /// An event of a job.
    EventId, "event", "ftevent-";
    /// A checkpoint of a job.
    CheckpointId, "checkpoint", "ftckpt_";
    /// A tenant; shown to clients as the organization.
    TenantId, "tenant", "org-";
    /// An upload in parts.
    UploadId, "upload", "upload_";
    /// A part of an upload.
    PartId, "part", "part_";
    /// One HTTP request.
    RequestId, "request", "req_";
    /// The random part of a claim: with the epoch it tells two executors apart even after the store forgot one.
    Nonce, "nonce", "nonce_";
    /// An executor process.
    ExecutorId, "executor", "exec-";
    /// An endpoint that is told of events.
    WebhookId, "webhook", "whk_";
    /// An event on its way to one endpoint.
    DeliveryId, "webhook delivery", "evt_";
    /// The erasure of a file or tenant; its random part is theirs, so that each can be erased once.
    ErasureId, "erasure", "erase_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_refuse_other_kinds() {
        let id = FileId::generate().expect("random bytes");
        assert_eq!(id.as_str().parse::<FileId>().as_ref(), Ok(&id));
        assert!(id.as_str().parse::<JobId>().is_err());
        assert!("file-short".parse::<FileId>().is_err());
        assert!("file-../../../../etc/passwd000".parse::<FileId>().is_err());
        assert_ne!(id, FileId::generate().expect("random bytes"));
    }
}
