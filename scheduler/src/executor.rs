//! An executor as the record knows it: where it takes jobs, how many, and when it was last heard of.

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::ExecutorId;

use crate::port::control_plane::Presence;
use crate::port::document::{Document, Kind};

/// Seconds between two times that an executor says that it is there.
pub const ENLIST_SECONDS: u64 = 15;
/// How long it counts after that, in milliseconds: three calls may be lost.
pub const LIVING_MS: i64 = 60_000;
/// How long one that is silent is remembered, in milliseconds: its pool is known for as long.
pub const REMEMBERED_MS: i64 = 86_400_000;
/// Characters of a pool's name.
pub const POOL_CHARS_MAX: usize = 64;
/// Devices of one executor: more than a machine has.
pub const DEVICES_MAX: u32 = 1024;

/// An executor. Each start of one is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorRecord {
    /// The id.
    pub id: ExecutorId,
    /// The pool whose tickets it takes.
    pub pool: String,
    /// Devices, each of which runs one job at a time.
    pub devices: u32,
    /// It takes no more tickets. Stays once it is set: what it said before may arrive late.
    pub draining: bool,
    /// When it was first heard of, in Unix milliseconds.
    pub enlisted_at_ms: i64,
    /// When it was last heard of, in Unix milliseconds.
    pub seen_ms: i64,
}

impl ExecutorRecord {
    /// One that is heard of for the first time.
    pub fn new(id: ExecutorId, presence: &Presence, now_ms: i64) -> Self {
        let Presence { pool, devices, draining } = presence.clone();
        Self { id, pool, devices, draining, enlisted_at_ms: now_ms, seen_ms: now_ms }
    }

    /// It is heard of again.
    pub fn see(&mut self, presence: &Presence, now_ms: i64) {
        let Presence { pool, devices, draining } = presence.clone();
        (self.pool, self.devices, self.seen_ms) = (pool, devices, now_ms);
        self.draining |= draining;
    }

    /// Whether it takes jobs at `now_ms`, as far as is known.
    pub fn is_living(&self, now_ms: i64) -> bool {
        !self.draining && now_ms < self.seen_ms + LIVING_MS
    }
}

impl Document for ExecutorRecord {
    const KIND: Kind = Kind::Executor;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn scope(&self) -> String {
        String::new()
    }
}

/// Why `presence` cannot be taken: it names the field, the limit and the value.
pub fn fault_of(presence: &Presence) -> Option<String> {
    let Presence { pool, devices, draining: _ } = presence;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if pool.is_empty() || pool.len() > POOL_CHARS_MAX || !pool.bytes().all(plain) {
        let shown: String = pool.chars().take(80).collect();
        return Some(format!(
            "pool '{shown}': a name has 1 to {POOL_CHARS_MAX} letters, digits, '-', '_' or '.'"
        ));
    }
    let some = (1..=DEVICES_MAX).contains(devices);
    (!some).then(|| format!("devices: from 1 to {DEVICES_MAX}, not {devices}"))
}
