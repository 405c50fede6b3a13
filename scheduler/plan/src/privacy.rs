//! A private job: the noise that keeps its promise, and what it promises.

use serde::{Deserialize, Serialize};
use trainyard_openapi::auto::Auto;
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{
    Clipping, JobPrivacy, NamedUnit, Privacy, PrivacyAccountant, PrivacyUnit, UserUnit,
};
use trainyard_openapi::limits;
use trainyard_privacy::unit::{self, Population};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase, PrivacyError};

use crate::check::{invalid, text, within};
use crate::facts::DataFacts;

/// Where the fields stand in a request.
const PATH: &str = "trainyard.privacy";
/// Noise on adaptive clipping's count of units below the limit, over the expected batch: what Andrew et al., 2021, recommend.
const COUNT_NOISE_SHARE: f64 = 0.05;
/// The same over the noise multiplier, at least: two and a half times it costs two parts in a hundred of the gradients' noise.
const COUNT_NOISE_FLOOR: f64 = 2.5;

/// What is computed from the data without noise, and so stands outside every guarantee.
const NOT_COVERED: [&str; 6] = [
    "how many lines, units and tokens the training file has, and what happened to its rows",
    "how long steps take, and whether memory ran out",
    "what lies in the validation file: nothing of it may be private",
    "settings chosen after looking at results on private data",
    "the base model and its tokenizer, whatever they were trained on",
    "the same person in several units",
];

/// The privacy of a run, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyPlan {
    /// The units and how many there are.
    pub population: Population,
    /// The key of each line that names its user, where the unit is a user.
    pub user_field: Option<String>,
    /// The mechanism and the steps planned.
    pub phase: Phase,
    /// The most that the job may spend.
    pub limit: Budget,
    /// How epsilon is counted.
    pub accounting: Accounting,
    /// Epsilon once all steps have run.
    pub expected_epsilon: f64,
    /// How gradients are cut.
    pub clipping: Clipping,
    /// The limit on a unit's gradient.
    pub clip_norm: f64,
    /// Noise on the count that adaptive clipping follows.
    pub count_noise: Option<f64>,
}

/// Units of a private job: what its batches and passes are counted in.
pub(crate) fn units(privacy: &Privacy, data: DataFacts) -> Result<u64, ApiError> {
    let (unit, user_field) = resolve_unit(&format!("{PATH}.unit"), privacy.unit.clone())?;
    let (unit::PrivacyUnit::User { examples_per_user }, Some(field)) = (unit, user_field) else {
        return Ok(data.examples);
    };
    within(&format!("{PATH}.unit.examples_per_unit"), examples_per_user, 1..=1_000_000)?;
    match data.users {
        Some(0) => {
            let text = format!("no line of the training file names its user under '{field}'");
            Err(invalid(&format!("{PATH}.unit.user_field"), text))
        }
        Some(users) => Ok(users),
        None => {
            let text = "the lines of the training file were not looked at for their users";
            Err(invalid(&format!("{PATH}.unit"), text))
        }
    }
}

/// The power of two nearest below an eighth of the units, 1 to 1,024: noise is spread over a batch, so large ones cost little of the result.
pub(crate) fn auto_batch_size(units: u64) -> u32 {
    1 << (units / 8).clamp(1, 1024).ilog2()
}

/// Passes that make about `steps_aim` steps, 3 to 20.
pub(crate) fn auto_epochs(units: u64, batch_size: u32, steps_aim: u64) -> u32 {
    let steps_per_epoch = units.div_ceil(u64::from(batch_size.max(1))).max(1);
    u32::try_from(steps_aim.div_ceil(steps_per_epoch).clamp(3, 20)).unwrap_or(3)
}

/// Resolves what a request says of privacy, for `steps` steps of `batch_size` units on average.
pub(crate) fn resolve_privacy(
    privacy: Privacy,
    units: u64,
    batch_size: u32,
    steps: u64,
) -> Result<PrivacyPlan, ApiError> {
    let Privacy { target_epsilon, noise_multiplier, delta, clip_norm, clipping, unit, accountant } =
        privacy;
    let clip_norm = within(&format!("{PATH}.clip_norm"), clip_norm, 1e-9..=1e9)?;
    if clipping == Clipping::Automatic && clip_norm.to_bits() != 1.0_f64.to_bits() {
        let text = "automatic clipping brings every gradient close to norm 1; leave it out, and set the learning rate instead";
        return Err(invalid(&format!("{PATH}.clip_norm"), text));
    }
    let (unit, user_field) = resolve_unit(&format!("{PATH}.unit"), unit)?;
    let population = Population::new(unit, units).map_err(refused)?;
    let sampling_rate = population.sampling_rate(f64::from(batch_size)).map_err(|_| {
        let text = format!("must be at most the number of units, {units}, not {batch_size}");
        invalid("method.supervised.hyperparameters.batch_size", text)
    })?;
    let delta = match delta {
        Auto::Auto => population.default_delta(),
        Auto::Value(delta) => population.check_delta(delta).map_err(refused)?,
    };
    let accounting = match accountant {
        PrivacyAccountant::Prv => Accounting::Prv,
        PrivacyAccountant::Rdp => Accounting::Rdp,
    };
    let mut accountant = Accountant::default();
    let (noise, limit, expected_epsilon) = match (target_epsilon, noise_multiplier) {
        (Some(epsilon), None) => {
            let target = Budget::new(epsilon, delta).map_err(refused)?;
            let found = accountant
                .noise_multiplier(accounting, &target, &[], sampling_rate, steps)
                .map_err(refused)?;
            (found.noise_multiplier, target, found.epsilon)
        }
        (None, Some(noise)) => {
            let phase = Phase::new(noise, sampling_rate, steps).map_err(refused)?;
            let epsilon = accountant.epsilon(accounting, &[phase], delta).map_err(refused)?;
            // The least that a budget can be; a step costs more than rounding.
            let limit = Budget::new(epsilon.max(0.001), delta).map_err(|_| {
                let text = format!("{noise} gives epsilon {epsilon:.1} at delta {delta:.1e}: nothing is protected by that");
                invalid(&format!("{PATH}.noise_multiplier"), text)
            })?;
            (noise, limit, epsilon)
        }
        (None, None) => {
            let text = "one of 'target_epsilon' and 'noise_multiplier' is needed";
            return Err(invalid(&format!("{PATH}.target_epsilon"), text));
        }
        (Some(_), Some(_)) => {
            let text =
                "give either 'target_epsilon' or 'noise_multiplier': each follows from the other";
            return Err(invalid(&format!("{PATH}.noise_multiplier"), text));
        }
    };
    let phase = Phase::new(noise, sampling_rate, steps).map_err(refused)?;
    let count_noise = (clipping == Clipping::Adaptive)
        .then(|| (COUNT_NOISE_SHARE * f64::from(batch_size)).max(COUNT_NOISE_FLOOR * noise));
    Ok(PrivacyPlan {
        population,
        user_field,
        phase,
        limit,
        accounting,
        expected_epsilon,
        clipping,
        clip_norm,
        count_noise,
    })
}

/// The unit that a request names at `path`, and the key that names the users where it is a user.
///
/// # Errors
/// A key that is too long, or that holds what is trained on.
pub fn resolve_unit(
    path: &str,
    unit: PrivacyUnit,
) -> Result<(unit::PrivacyUnit, Option<String>), ApiError> {
    match unit {
        PrivacyUnit::Named(NamedUnit::Example) => Ok((unit::PrivacyUnit::Example, None)),
        PrivacyUnit::User(UserUnit { user_field, examples_per_unit }) => {
            let path = format!("{path}.user_field");
            text(&path, &user_field, limits::USER_FIELD_CHARS_MAX)?;
            let own = ["messages", "tools", "prompt", "completion", "text", "input_ids", "labels"];
            if own.contains(&user_field.as_str()) {
                let text = format!("'{user_field}' is what is trained on, not whose it is");
                return Err(invalid(&path, text));
            }
            let unit = unit::PrivacyUnit::User { examples_per_user: examples_per_unit };
            Ok((unit, Some(user_field)))
        }
    }
}

/// What the privacy crate refuses, under the field's whole name.
fn refused(error: PrivacyError) -> ApiError {
    let field = match &error {
        PrivacyError::OutOfRange { field, .. } => match *field {
            "epsilon" => "target_epsilon",
            "units" => "unit",
            "examples_per_user" => "unit.examples_per_unit",
            known @ ("delta" | "noise_multiplier" | "clip_norm") => known,
            _ => "target_epsilon",
        },
        PrivacyError::Unreachable { .. } | PrivacyError::Precision(_) => "target_epsilon",
    };
    invalid(&format!("{PATH}.{field}"), error)
}

/// A unit as a client names it; `user_field` is the key that names the users.
pub fn unit_of(unit: unit::PrivacyUnit, user_field: Option<&str>) -> PrivacyUnit {
    match (unit, user_field) {
        (unit::PrivacyUnit::User { examples_per_user }, Some(field)) => {
            let (user_field, examples_per_unit) = (field.to_string(), examples_per_user);
            PrivacyUnit::User(UserUnit { user_field, examples_per_unit })
        }
        _ => PrivacyUnit::default(),
    }
}

/// A way of counting as a client names it.
pub const fn accountant_of(accounting: Accounting) -> PrivacyAccountant {
    match accounting {
        Accounting::Prv => PrivacyAccountant::Prv,
        Accounting::Rdp => PrivacyAccountant::Rdp,
    }
}

impl PrivacyPlan {
    /// As a client sees it.
    pub fn extension(&self) -> JobPrivacy {
        JobPrivacy {
            target_epsilon: self.limit.epsilon(),
            noise_multiplier: self.phase.noise_multiplier(),
            delta: self.limit.delta(),
            clip_norm: self.clip_norm,
            clipping: self.clipping,
            unit: unit_of(self.population.unit(), self.user_field.as_deref()),
            accountant: accountant_of(self.accounting),
            units: self.population.units(),
            sampling_rate: self.phase.sampling_rate(),
            steps: self.phase.steps(),
            expected_epsilon: self.expected_epsilon,
            not_covered: NOT_COVERED.map(ToString::to_string).into(),
        }
    }

    /// Units in a step on average.
    pub fn expected_batch(&self) -> f64 {
        self.phase.sampling_rate() * self.population.units() as f64
    }
}
