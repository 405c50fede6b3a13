//! The name of a stage.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, within};

/// The name of a stage: 1 to 128 characters that XML can hold, without a space at either end. It does not begin with `=`, `+`, `-` or
/// `@`, for which a spreadsheet would take a cell of the report for a formula.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StageName(String);

impl StageName {
    /// The most characters.
    pub const MAX_CHARACTERS: usize = 128;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StageName {
    type Error = ContinualError;

    fn try_from(text: String) -> Result<Self, ContinualError> {
        let count = text.chars().count();
        let limit = "between 1 and 128 characters";
        within("stage name", limit, count, (1..=Self::MAX_CHARACTERS).contains(&count))?;
        let seen = || text.escape_debug();
        within("stage name", "without a space at either end", seen(), text.trim() == text)?;
        let formula = text.starts_with(['=', '+', '-', '@']);
        within("stage name", "begun with none of = + - @", seen(), !formula)?;
        // XML 1.0 allows neither as a character, escaped or not.
        let bad = text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
        within("stage name", "without control characters", seen(), !bad)?;
        Ok(Self(text))
    }
}

impl TryFrom<&str> for StageName {
    type Error = ContinualError;

    fn try_from(text: &str) -> Result<Self, ContinualError> {
        Self::try_from(text.to_owned())
    }
}

impl From<StageName> for String {
    fn from(name: StageName) -> Self {
        name.0
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most stages of a stream.
pub(crate) const MAX_STAGES: usize = 256;

/// Refuses an empty list, one above [`MAX_STAGES`] and a name that stands in it twice.
pub(crate) fn check_names<'a>(
    names: impl Iterator<Item = &'a StageName>,
) -> Result<(), ContinualError> {
    let mut sorted: Vec<&StageName> = names.collect();
    let count = sorted.len();
    within("stages", "between 1 and 256 stages", count, (1..=MAX_STAGES).contains(&count))?;
    sorted.sort_unstable();
    let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    match twice {
        Some(name) => within("stages", "of different names", format!("'{name}' twice"), false),
        None => Ok(()),
    }
}
