//! A remembered example: where it stands, not what it says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, within};

/// The SHA-256 of the file that an example comes from; 64 lower-case hexadecimal digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source([u8; 32]);

impl Source {
    /// From the bytes of the hash.
    #[must_use]
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl TryFrom<String> for Source {
    type Error = ContinualError;

    fn try_from(text: String) -> Result<Self, ContinualError> {
        let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
        let seen: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        let limit = "a SHA-256 in 64 lower-case hexadecimal digits";
        let right = text.len() == 64 && digits.len() == 64;
        within("source", limit, format_args!("'{seen}'"), right)?;
        let mut sha256 = [0; 32];
        for (byte, pair) in sha256.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(sha256))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One example of a past stage. Its tokens are read again from its file; nothing of them is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The stage that it was trained in, from 0.
    pub stage: u32,
    /// Its file.
    pub source: Source,
    /// Its row in the file, from 0.
    pub row: u64,
}
