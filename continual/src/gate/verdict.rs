//! What the gate says, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::matrix::ForgettingMatrix;
use crate::name::StageName;

/// Where a score is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// On an earlier stage.
    Stage {
        /// Its place in the stream, from 0.
        stage: usize,
        /// Its name.
        name: StageName,
    },
    /// On the general held-out set.
    HeldOut,
}

/// How far a score is below the best before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fall {
    /// Where.
    pub place: Place,
    /// The name of the measure.
    pub metric: String,
    /// The best value before, in the measure's own sign.
    pub best: f64,
    /// The value now, in the measure's own sign.
    pub seen: f64,
    /// How much worse it is, whichever way the measure is better: by how many nats a loss has risen. Below 0 where it is better.
    pub fall: f64,
    /// The most allowed.
    pub limit: f64,
}

impl Fall {
    /// The fall from the best of `before` to `seen`; `None` where nothing was before.
    pub(super) fn from_best(
        matrix: &ForgettingMatrix,
        place: Place,
        before: impl Iterator<Item = f64>,
        seen: f64,
        limit: f64,
    ) -> Option<Self> {
        let direction = matrix.metric().direction();
        let turned = |value: f64| direction.turned(value);
        let best = before.max_by(|a, b| turned(*a).total_cmp(&turned(*b)))?;
        let fall = turned(best) - turned(seen);
        Some(Self { place, metric: matrix.metric().to_string(), best, seen, fall, limit })
    }
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, metric, best, seen, fall, limit } = self;
        let (place, field) = match place {
            Place::Stage { name, .. } => (format!("stage '{name}'"), "max_forgetting"),
            Place::HeldOut => ("the held-out set".to_owned(), "max_held_out_fall"),
        };
        let (amount, way) = if *fall < 0.0 { (-fall, "better") } else { (*fall, "worse") };
        write!(
            f,
            "{metric} on {place} is {seen}, {amount:.6} {way} than the best before, {best}; {field} allows {limit}"
        )
    }
}

/// What the gate says of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// Nothing fell by more than is allowed.
    Keep {
        /// The fall that came closest to its limit, though it be below 0; none where there was nothing before.
        closest: Option<Fall>,
    },
    /// Something did.
    Reject {
        /// Every fall beyond its limit, in the order of the stages, the held-out set last.
        falls: Vec<Fall>,
    },
}

impl Verdict {
    pub(super) fn of(falls: Vec<Fall>) -> Self {
        let (beyond, allowed): (Vec<_>, Vec<_>) =
            falls.into_iter().partition(|fall| fall.fall > fall.limit);
        if !beyond.is_empty() {
            return Self::Reject { falls: beyond };
        }
        let room = |fall: &Fall| fall.limit - fall.fall;
        Self::Keep { closest: allowed.into_iter().min_by(|a, b| room(a).total_cmp(&room(b))) }
    }

    /// Whether the stage is kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { closest: None } => f.write_str("kept: there was nothing before to forget"),
            Self::Keep { closest: Some(fall) } => write!(f, "kept: {fall}"),
            Self::Reject { falls } => {
                f.write_str("rejected: ")?;
                for (place, fall) in falls.iter().enumerate() {
                    if place > 0 {
                        f.write_str("; ")?;
                    }
                    write!(f, "{fall}")?;
                }
                Ok(())
            }
        }
    }
}
