//! An audit of the private step with canaries (Steinke et al., 2023): it may give away no more than it says, and it must do what the
//! accounting takes it to do. With the feature `mutants` each part of it is left out once, and has to be missed.
//!
//! Canaries stand for the worst that data can do: the gradient of each has a direction of its own and ten times the length that is let
//! through. A fair coin puts each in or leaves it out. Who sees all that was released guesses from the length of the sum in each direction.

use tch::{Device, Kind, Tensor};
use trainyard_openapi::extension::Clipping;
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::audit::Guesses;
use trainyard_privacy::unit::{Population, PrivacyUnit};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase};
use trainyard_trainer::optim::parameters::Parameters;
use trainyard_trainer::privacy::ghost::Written;
use trainyard_trainer::privacy::gradients::UnitGradients;
use trainyard_trainer::privacy::reserve::Reservations;
use trainyard_trainer::privacy::units::Units;
use trainyard_trainer::train::private::{Private, Sum};

/// Canaries, each with a number of the gradient to itself.
const CANARIES: usize = 2000;
/// Numbers of the gradient that no canary moves.
const STILL: usize = 9000;
const STEPS: u64 = 4;
const RATE: f64 = 0.25;
const CLIP_NORM: f64 = 0.5;
/// Units of a micro-batch.
const TOGETHER: usize = 64;
/// An honest step fails each check less often than this.
const CONFIDENCE: f64 = 0.9999;

fn plan(noise: f64) -> PrivacyPlan {
    let population = Population::new(PrivacyUnit::Example, CANARIES as u64).unwrap();
    let phase = Phase::new(noise, RATE, STEPS).unwrap();
    // So small that it does not blunt the audit, whose bound gives way by it.
    let delta = 1e-8;
    let epsilon = Accountant::default().epsilon(Accounting::Prv, &[phase], delta).unwrap();
    PrivacyPlan {
        population,
        user_field: None,
        phase,
        limit: Budget::new(epsilon, delta).unwrap(),
        accounting: Accounting::Prv,
        expected_epsilon: epsilon,
        clipping: Clipping::Flat,
        clip_norm: CLIP_NORM,
        count_noise: None,
    }
}

fn parameters() -> Parameters {
    let shapes = vec![("canary.weight".to_string(), vec![(CANARIES + STILL) as i64])];
    Parameters::zeros(shapes, Device::Cpu).unwrap()
}

fn private(noise: f64) -> Private {
    let lines = (0..CANARIES as u32).map(|line| line..line + 1).collect();
    let units = Units::new(lines, None);
    Private::new(&plan(noise), units, (0, 0), &parameters(), (2, 0), Reservations::Agent).unwrap()
}

/// What was seen of a run: the sum of all that it released, and which canaries were in.
struct Seen {
    released: Vec<f64>,
    inside: Vec<bool>,
    drawn: usize,
}

fn run(mut private: Private) -> Seen {
    let mut coins = vec![0_u8; CANARIES];
    getrandom::fill(&mut coins).unwrap();
    let inside: Vec<bool> = coins.iter().map(|coin| coin % 2 == 0).collect();
    let count = (CANARIES + STILL) as i64;
    let mut total = Tensor::zeros([count], (Kind::Double, Device::Cpu));
    let mut state = private.start();
    let mut all_drawn = 0;
    for _ in 0..STEPS {
        let units = private.draw(|_| 1).unwrap();
        all_drawn += units.len();
        let mut sum_p = Tensor::zeros([count], (Kind::Float, Device::Cpu));
        let mut below = 0;
        for units in units.chunks(TOGETHER) {
            let room = private.room((units.len(), TOGETHER), Written::Always, &sum_p).unwrap();
            for (place, unit) in units.iter().enumerate() {
                let canary = unit.rows[0].0;
                if inside[canary] {
                    push(room, place as i64, canary as i64);
                }
            }
            below += private.fold(units.len(), &state, &mut sum_p).unwrap();
        }
        private.release(&mut sum_p, &Sum { drawn: units.len(), below }, &mut state).unwrap();
        // What was divided by is no secret.
        total += sum_p.to_kind(Kind::Double) * (RATE * CANARIES as f64);
    }
    Seen { released: Vec::try_from(&total).unwrap(), inside, drawn: all_drawn }
}

/// Ten times the limit in the canary's own direction, by the way of a backward pass: one row of one token.
fn push(room: &UnitGradients, unit: i64, canary: i64) {
    let width = (CANARIES + STILL) as i64;
    let direction = Tensor::zeros([1, width], (Kind::Float, Device::Cpu));
    let _ = direction.narrow(1, canary, 1).fill_(10.0 * CLIP_NORM);
    let one = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
    let compute = trainyard_trainer::nn::compute::Compute::new(Device::Cpu, Kind::Float);
    room.rows(vec![unit]).unwrap().add(0, (&one, &direction), 1.0, &compute).unwrap();
}

/// Everything that is wrong with what was seen of a run with this noise.
fn findings(seen: &Seen, noise: f64) -> Vec<String> {
    let mut found = Vec::new();
    let plan = plan(noise);
    let scores: Vec<(f64, bool)> =
        seen.released[..CANARIES].iter().copied().zip(seen.inside.iter().copied()).collect();
    // Who was in is seen from a step that drew it; who was not looks like one whom no step drew.
    let guesses = Guesses::from_scores(&scores, 500, 0).unwrap();
    let bound = guesses.epsilon_lower_bound(plan.limit.delta(), CONFIDENCE).unwrap();
    let epsilon = plan.expected_epsilon;
    println!(
        "noise {noise}: epsilon {epsilon:.2} accounted, at least {bound:.2} by audit ({guesses:?})"
    );
    if bound > epsilon {
        found.push(format!(
            "epsilon is at least {bound:.2}, and {epsilon:.2} was accounted ({guesses:?})"
        ));
    }
    // Six standard errors: one honest run in 500 million.
    let mut check = |what: &str, seen: f64, expected: f64, error: f64| {
        if (seen - expected).abs() > 6.0 * error {
            found.push(format!("{what} is {seen:.4}, not {expected:.4} +- {error:.4}"));
        }
    };
    let (steps, deviation) = (STEPS as f64, noise * CLIP_NORM);
    let still = &seen.released[CANARIES..];
    let variance = still.iter().map(|value| value * value).sum::<f64>() / STILL as f64;
    let expected = steps * deviation * deviation;
    check("the noise's variance", variance, expected, expected * (2.0 / STILL as f64).sqrt());
    let mean = still.iter().sum::<f64>() / STILL as f64;
    check("the noise's mean", mean, 0.0, (expected / STILL as f64).sqrt());
    let drawn = seen.drawn as f64 / (steps * CANARIES as f64);
    let error = (RATE * (1.0 - RATE) / (steps * CANARIES as f64)).sqrt();
    check("the part of units in a step", drawn, RATE, error);
    let inside: Vec<f64> =
        scores.iter().filter(|(_, inside)| *inside).map(|(score, _)| *score).collect();
    let moved = inside.iter().sum::<f64>() / inside.len() as f64;
    let spread = steps * (deviation * deviation + CLIP_NORM * CLIP_NORM * RATE * (1.0 - RATE));
    check(
        "what a unit moves",
        moved,
        steps * RATE * CLIP_NORM,
        (spread / inside.len() as f64).sqrt(),
    );
    found
}

/// Little noise, where an audit sees most, and much, where it may see nothing.
#[test]
fn it_gives_away_no_more_than_it_says() {
    for noise in [0.6, 1.0, 4.0] {
        let found = findings(&run(private(noise)), noise);
        assert!(found.is_empty(), "noise {noise}: {found:?}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn each_part_is_missed() {
    for part in trainyard_trainer::privacy::part::Part::ALL {
        println!("without {part:?}");
        let found = findings(&run(private(1.5).without(part)), 1.5);
        println!("  {}", found.join("\n  "));
        assert!(!found.is_empty(), "nobody misses {part:?}");
    }
}
