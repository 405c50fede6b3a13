//! Links: a content that a client fetches from the object store itself.

use serde::{Deserialize, Serialize};

/// Where a content can be fetched without a key for a while: whoever has the link has the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Link {
    /// Always `link`.
    #[schema(example = "link")]
    pub object: String,
    /// The URL, for GET and ranges of it.
    pub url: String,
    /// When it ends to work, in Unix seconds.
    pub expires_at: i64,
    /// The content's name.
    pub filename: String,
    /// The content's size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

/// The `Content-Disposition` of a download; a name outside plain ASCII goes in the form of RFC 8187.
pub fn attachment(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if ascii == name {
        return format!("attachment; filename=\"{ascii}\"");
    }
    let encoded: String = name
        .bytes()
        .map(|byte| {
            if plain(char::from(byte)) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}
