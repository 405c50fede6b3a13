//! The audit log: who did what, per tenant one chain of hashes, so that an entry that is changed, dropped or moved is found.
//!
//! An entry's hash is SHA-256 over the hash before it and the entry's canonical JSON (keys sorted, no spaces; RFC 8785 for the
//! values that occur here). The chain begins with 64 zeros.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::AuditEvent;

/// What happened. It holds no secret and no content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Whose chain it belongs to.
    pub tenant: TenantId,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// Who: `key:<public part>`, `token:<subject>` or `system`.
    pub actor: String,
    /// What, such as `file.deleted`.
    pub action: String,
    /// To what: an id.
    pub target: String,
    /// More of it.
    #[serde(default)]
    pub detail: Value,
}

/// An entry in its chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// The hash before it, in hexadecimal.
    pub prev: String,
    /// Its own hash, in hexadecimal.
    pub hash: String,
    /// What happened.
    pub entry: AuditEntry,
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// An entry is missing, or stands elsewhere.
    #[error("entry {expected} is missing: entry {found} stands in its place")]
    Gap {
        /// The place.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// The entry does not continue the one before it.
    #[error("entry {0} does not continue the entry before it")]
    Link(u64),
    /// The entry is not what was hashed.
    #[error("entry {0} was changed: its hash is another")]
    Content(u64),
    /// The entry speaks of another tenant.
    #[error("entry {0} belongs to another tenant's log")]
    Foreign(u64),
    /// The entry cannot be read, so it is not what was written.
    #[error("the entry after {after} cannot be read: {reason}")]
    Unreadable {
        /// The last place that was good.
        after: u64,
        /// Why not.
        reason: String,
    },
    /// The log was rewritten: it holds together, and differs from what it was.
    #[error("entry {0} has another hash than was noted: the log was rewritten")]
    Rewritten(u64),
    /// The log is shorter than it was.
    #[error("the log was cut off: it ends with entry {found}, and {noted} was noted")]
    Cut {
        /// The place of the head that was noted.
        noted: u64,
        /// The last place there is.
        found: u64,
    },
}

/// The end of a chain. Who keeps it can tell later that nothing was cut off or rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The place of the last entry; 0 where there is none.
    pub seq: u64,
    /// Its hash, in hexadecimal; 64 zeros where there is none.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

/// Follows one tenant's chain from its beginning, piece by piece.
#[derive(Debug)]
pub struct Follower {
    tenant: TenantId,
    head: Head,
    noted: Option<Head>,
}

impl Follower {
    /// At the beginning of `tenant`'s chain; `noted` is a head that was seen earlier.
    pub fn new(tenant: TenantId, noted: Option<Head>) -> Self {
        Self { tenant, head: Head::default(), noted }
    }

    /// Where it stands.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Follows the next entries.
    ///
    /// # Errors
    /// The first place where the chain breaks.
    pub fn follow(&mut self, records: &[AuditRecord]) -> Result<(), BrokenChain> {
        if let Some(foreign) = records.iter().find(|record| record.entry.tenant != self.tenant) {
            return Err(BrokenChain::Foreign(foreign.seq));
        }
        let from = (self.head.seq > 0).then(|| (self.head.seq, self.head.hash.clone()));
        if let Some((seq, hash)) = verify(records, from)? {
            self.head = Head { seq, hash };
        }
        let noted = self.noted.as_ref();
        let there =
            noted.and_then(|noted| Some((noted, records.iter().find(|r| r.seq == noted.seq)?)));
        match there {
            Some((noted, record)) if noted.hash != record.hash => {
                Err(BrokenChain::Rewritten(noted.seq))
            }
            _ => Ok(()),
        }
    }

    /// At the end of the log: gives its head.
    ///
    /// # Errors
    /// Where it is shorter than it was.
    pub fn end(self) -> Result<Head, BrokenChain> {
        match self.noted {
            Some(noted) if noted.seq > self.head.seq => {
                Err(BrokenChain::Cut { noted: noted.seq, found: self.head.seq })
            }
            _ => Ok(self.head),
        }
    }
}

impl TryFrom<AuditEvent> for AuditRecord {
    type Error = std::num::ParseIntError;

    /// The record that an entry of the API shows.
    fn try_from(event: AuditEvent) -> Result<Self, Self::Error> {
        let AuditEvent { id, created_at_ms, tenant_id, actor, action, target, detail, .. } = event;
        let entry =
            AuditEntry { tenant: tenant_id, at_ms: created_at_ms, actor, action, target, detail };
        Ok(Self { seq: id.parse()?, prev: event.prev_hash, hash: event.hash, entry })
    }
}

/// The record that follows `last` (its place and hash) with `entry`.
pub fn chain(last: Option<(u64, &str)>, entry: &AuditEntry) -> AuditRecord {
    let beginning = "0".repeat(64);
    let (seq, prev) = last.unwrap_or((0, &beginning));
    let hash = hash(prev, entry);
    AuditRecord { seq: seq + 1, prev: prev.to_string(), hash, entry: entry.clone() }
}

/// Follows a chain from its beginning; gives its head (place and hash) where it holds.
///
/// # Errors
/// The first place where it breaks.
pub fn verify<'a>(
    records: impl IntoIterator<Item = &'a AuditRecord>,
    from: Option<(u64, String)>,
) -> Result<Option<(u64, String)>, BrokenChain> {
    let mut head = from;
    for record in records {
        let (seq, prev) = head.unwrap_or_else(|| (0, "0".repeat(64)));
        if record.seq != seq + 1 {
            return Err(BrokenChain::Gap { expected: seq + 1, found: record.seq });
        }
        if record.prev != prev {
            return Err(BrokenChain::Link(record.seq));
        }
        if record.hash != hash(&prev, &record.entry) {
            return Err(BrokenChain::Content(record.seq));
        }
        head = Some((record.seq, record.hash.clone()));
    }
    Ok(head)
}

fn hash(prev: &str, entry: &AuditEntry) -> String {
    let mut digest = Sha256::new();
    digest.update(prev.as_bytes());
    digest.update(canonical_text(entry).as_bytes());
    hex::encode(digest.finalize())
}

/// The text of an entry that is hashed after the hash before it.
pub(crate) fn canonical_text(entry: &AuditEntry) -> String {
    let mut text = String::new();
    canonical(&serde_json::to_value(entry).unwrap_or_default(), &mut text);
    text
}

/// JSON with sorted keys and no spaces.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                *out += &Value::from(key.as_str()).to_string();
                out.push(':');
                canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        plain => *out += &plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u64) -> Vec<AuditRecord> {
        let tenant = TenantId::generate().unwrap();
        let mut records: Vec<AuditRecord> = Vec::new();
        for number in 0..count {
            let entry = AuditEntry {
                tenant: tenant.clone(),
                at_ms: 5,
                actor: "key:a".into(),
                action: "file.deleted".into(),
                target: format!("file-{number}"),
                detail: serde_json::json!({"z": 1, "a": [1, {"y": "ü\n", "b": null}]}),
            };
            let last = records.last().map(|last| (last.seq, last.hash.as_str()));
            let next = chain(last, &entry);
            records.push(next);
        }
        records
    }

    #[test]
    fn every_change_of_a_chain_is_found() {
        let whole = records(5);
        assert_eq!(verify(&whole, None).unwrap(), Some((5, whole[4].hash.clone())));
        let (first, rest) = whole.split_at(2);
        let head = verify(first, None).unwrap();
        assert_eq!(verify(rest, head).unwrap().unwrap().0, 5, "in pieces as in one");

        let mut flipped = whole.clone();
        flipped[2].entry.target.replace_range(5..6, "9");
        assert_eq!(verify(&flipped, None), Err(BrokenChain::Content(3)));
        let mut rehashed = flipped.clone();
        rehashed[2].hash = hash(&rehashed[2].prev, &rehashed[2].entry);
        assert_eq!(verify(&rehashed, None), Err(BrokenChain::Link(4)), "the next one tells");
        let mut dropped = whole.clone();
        dropped.remove(1);
        assert_eq!(verify(&dropped, None), Err(BrokenChain::Gap { expected: 2, found: 3 }));
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        assert_eq!(verify(&swapped, None), Err(BrokenChain::Gap { expected: 2, found: 3 }));
        // What is cut off at the end is seen only by who kept the head.
        assert_ne!(verify(&whole[..4], None).unwrap(), verify(&whole, None).unwrap());
    }
}
