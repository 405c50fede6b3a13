//! Whose a line is: the one key that may stand beside its data, where a job protects users.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde_json::{Map, Value};

use super::LineError;
use super::chat::wrong_type;
use crate::limits::USER_CHARS_MAX;

/// Takes the user out of a line. A whole number is the user that its digits name: 7 and "7" are one.
pub(super) fn take(line: &mut Map<String, Value>, field: &str) -> Result<String, LineError> {
    const WANTED: &str = "the line's user, a string or a whole number";
    match line.remove(field) {
        None => {
            let message = format!("is missing: each line of this file must name {WANTED}");
            Err(LineError::new("missing_user", field, message))
        }
        Some(Value::String(user)) => match user.chars().count() {
            1..=USER_CHARS_MAX => Ok(user),
            chars => {
                let message = format!("must have 1 to {USER_CHARS_MAX} characters, not {chars}");
                Err(LineError::new("invalid_user", field, message))
            }
        },
        Some(Value::Number(user)) if user.is_u64() || user.is_i64() => Ok(user.to_string()),
        Some(other) => Err(wrong_type(field, WANTED, Some(&other))),
    }
}

/// Counts the users of a file. Of each it keeps 64 bits of a hash with a key of its own: a file of the largest size has some 25 million
/// lines, of which two users collide once in fifty thousand such files, and no file can be made to collide.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) field: String,
    seen: HashSet<u64>,
    key: RandomState,
}

impl Users {
    pub(super) fn named_by(field: String) -> Self {
        Self { field, seen: HashSet::new(), key: RandomState::new() }
    }

    pub(super) fn add(&mut self, user: &str) {
        self.seen.insert(self.key.hash_one(user));
    }

    pub(super) fn count(&self) -> u64 {
        self.seen.len() as u64
    }
}
