//! Private runs of the binary: what they spend, what they tell, and what is left when they are killed.

use std::collections::BTreeSet;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trainyard_openapi::extension::PrivacySpent;
use trainyard_plan::trainer::{Step, TrainerCommand, TrainerEvent};
use trainyard_privacy::ledger::{Ledger, recompute};

use crate::trainer::{Ended, Place, Running, request};

/// [`request`], private: 40 units in batches of 8 on average, so 5 steps a pass.
fn private(epochs: u32, privacy: &Value) -> Value {
    let mut request = request(epochs);
    request["trainyard"]["privacy"] = privacy.clone();
    request["trainyard"]["optimizer"]["learning_rate"] = json!(0.02);
    request
}

fn ledger(place: &Place) -> Ledger {
    serde_json::from_slice(&place.read("out/privacy-ledger.json")).unwrap()
}

fn steps(ended: &Ended) -> Vec<&Step> {
    let steps = ended.events.iter().filter_map(|event| match event {
        TrainerEvent::Step(step) => Some(step),
        _ => None,
    });
    steps.collect()
}

fn spent(ended: &Ended) -> (PrivacySpent, u64) {
    let Some(TrainerEvent::Finished(finished)) = ended.events.last() else {
        panic!("{:?}: {}", ended.events.last(), ended.stderr)
    };
    (finished.privacy.unwrap(), finished.steps)
}

#[test]
fn it_spends_what_it_was_given_and_tells_nothing_of_its_batches() {
    for clipping in ["flat", "per_layer", "automatic", "adaptive"] {
        let place = Place::new(&private(4, &json!({"target_epsilon": 8.0, "clipping": clipping})));
        let ended = place.run("out", &[]);
        assert_eq!(ended.code, Some(0), "{clipping}: {}", ended.stderr);
        let (spent, taken) = spent(&ended);
        assert_eq!((taken, spent.steps), (20, 20));
        assert!(spent.epsilon <= 8.0 && spent.epsilon > 7.9, "{clipping}: {spent:?}");

        let told = steps(&ended);
        assert!(
            told.iter()
                .all(|step| step.train_loss.is_none() && step.train_mean_token_accuracy.is_none())
        );
        // Tokens rise evenly: nobody sees how many were drawn.
        let tokens: BTreeSet<u64> =
            told.windows(2).map(|pair| pair[1].tokens - pair[0].tokens).collect();
        assert!(tokens.last().unwrap() - tokens.first().unwrap() <= 1, "{tokens:?}");
        let csv = String::from_utf8(place.read("out/adapter/metrics.csv")).unwrap();
        let losses = csv.lines().skip(1).map(|line| line.split(',').nth(2).unwrap());
        assert!(losses.into_iter().all(str::is_empty), "{csv}");
        for name in place.checkpoints("out") {
            let state = place.read(&format!("out/checkpoints/{name}/state.json"));
            let state: Value = serde_json::from_slice(&state).unwrap();
            let rows = state["history"].as_array().unwrap();
            assert!(rows.iter().all(|row| row["train_loss"].is_null()), "{state}");
        }
        let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
        for part in [
            &format!("({:.4}, {:.3e})-differentially private", spent.epsilon, spent.delta),
            "a line of the training file, 40 in all",
            "with probability 0.2",
            "Not covered by it",
        ] {
            assert!(card.contains(part), "no {part} in {card}");
        }
        let kept = ledger(&place);
        let again = recompute(kept.entries(), spent.delta);
        assert_eq!(again.charged.iter().map(|(_, _, steps)| *steps).sum::<u128>(), 20);
    }
}

/// With noise that hides nothing it must learn as well as ever, though no limit is near any gradient's norm.
#[test]
fn it_learns() {
    let place = Place::new(&private(8, &json!({"noise_multiplier": 0.35, "clip_norm": 4.0})));
    let ended = place.run("out", &[]);
    let Some(TrainerEvent::Finished(finished)) = ended.events.last() else { panic!("{ended:?}") };
    let (before, after) = (finished.initial_valid_loss.unwrap(), finished.valid_loss.unwrap());
    assert!(after < before - 0.5, "validation loss {before} -> {after}");
    assert!(finished.signal_to_noise.unwrap() > 0.0);
}

/// Of every weight a unit's gradient is cut and noise is added to the sum.
#[test]
fn all_weights_are_trained_privately() {
    for precision in ["fp32", "bf16"] {
        let mut request = private(2, &json!({"target_epsilon": 8.0}));
        request["trainyard"]["adapter"] = json!({"type": "full"});
        request["trainyard"]["optimizer"]["learning_rate"] = json!(0.001);
        request["trainyard"]["precision"] = json!(precision);
        let place = Place::new(&request);
        let ended = place.run("out", &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let (spent, steps_taken) = spent(&ended);
        assert!(spent.epsilon <= 8.0 && steps_taken == 10, "{spent:?} {steps_taken}");
        assert!(steps(&ended).iter().all(|step| step.train_loss.is_none()));
        let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
        assert!(card.contains("differentially private") && card.contains("Fine-tuned weights"));
        assert!(place.path("out/adapter/model.safetensors").exists());
    }
}

#[test]
fn users_are_units() {
    let mut request = private(
        2,
        &json!({
            "target_epsilon": 20.0, "unit": {"user_field": "who", "examples_per_unit": 2},
        }),
    );
    request["method"]["supervised"]["hyperparameters"]["batch_size"] = json!(4);
    let place = Place::new(&request);
    let named = |numbers| -> String {
        let chat = crate::trainer::chat(numbers);
        let lines = chat.lines().enumerate().map(|(number, line)| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["who"] = json!(format!("user {}", number % 12));
            format!("{line}\n")
        });
        lines.collect()
    };
    place.write("train.jsonl", &named(0..40));
    place.write("valid.jsonl", &named(50..58));
    let ended = place.run("out", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(spent(&ended).1, 6, "12 users in batches of 4, twice");
    let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
    assert!(
        card.contains("a user, named by `who`, with at most 2 lines a step, 12 in all"),
        "{card}"
    );
}

/// Killed at any moment, it has charged every step that it ever showed; the limit holds over all its lives together.
#[test]
fn killed_at_random_it_never_spends_less_than_it_showed() {
    let mut request = private(6, &json!({"target_epsilon": 8.0}));
    request["trainyard"]["checkpoint"] =
        json!({"every_steps": 2, "every_seconds": null, "keep": 2});
    let place = Place::new(&request);
    let (mut shown, mut last) = (0_u64, 0.0);
    let mut random = [0_u8; 40];
    getrandom::fill(&mut random).unwrap();
    for kill in random.chunks(2) {
        let mut running = Running::start(place.command("out", &[]));
        let steps = u64::from(kill[0] % 4);
        let mut seen = 0;
        while seen < steps
            && running.next().is_some_and(|event| {
                seen += u64::from(matches!(event, TrainerEvent::Step(_)));
                true
            })
        {}
        std::thread::sleep(std::time::Duration::from_millis(u64::from(kill[1])));
        running.signal(Signal::SIGKILL);
        let ended = running.end();
        shown += ended.steps().len() as u64;
        if !place.path("out/privacy-ledger.json").exists() {
            assert_eq!(shown, 0);
            continue;
        }
        let kept = ledger(&place);
        let again = recompute(kept.entries(), kept.budget().delta());
        let charged: u128 = again.charged.iter().map(|(_, _, steps)| *steps).sum();
        assert!(charged >= u128::from(shown), "{charged} steps charged, {shown} shown");
        let epsilon = kept.spent(&mut trainyard_privacy::Accountant::default()).unwrap();
        assert!(epsilon >= last && epsilon <= 8.0 + 1e-9, "{last} -> {epsilon}");
        last = epsilon;
    }
    let ended = place.run("out", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (spent, taken) = spent(&ended);
    assert!(
        spent.epsilon <= 8.0 + 1e-9 && taken <= 30 && spent.steps >= taken,
        "{spent:?} {taken}"
    );
    if taken < 30 {
        assert!(ended.stderr.contains("holds no further step"), "{}", ended.stderr);
    }
}

/// Under an agent no step is taken before it was charged, and none beyond what was granted.
#[test]
fn it_waits_for_leave() {
    let place = Place::new(&private(4, &json!({"target_epsilon": 8.0})));
    let mut command = place.command("out", &["--control", "stdin"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut leave = 0;
    let mut taken = Vec::new();
    while let Some(event) = running.next() {
        match event {
            TrainerEvent::Reserve { from, until } => {
                assert_eq!(from, 0);
                assert!(until > leave && until <= 20, "{until} after {leave}");
                leave = until.min(7);
                let spent = PrivacySpent { epsilon: leave as f64, delta: 1e-5, steps: leave };
                let answer = TrainerCommand::Reserved { until: leave, spent };
                running.say(&serde_json::to_string(&answer).unwrap());
            }
            TrainerEvent::Step(step) => {
                assert!(step.step <= leave, "step {} with leave up to {leave}", step.step);
                taken.push(step.step);
            }
            _ => {}
        }
    }
    assert_eq!(taken, (1..=7).collect::<Vec<_>>());
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (spent, steps) = spent(&ended);
    assert_eq!((spent.epsilon, steps), (7.0, 7));
    assert!(!place.path("out/privacy-ledger.json").exists(), "the agent keeps it");
}

#[test]
fn what_it_cannot_promise_it_refuses() {
    let refused = |privacy: Value, more: &[(&str, Value)]| {
        let mut request = private(4, &privacy);
        for (path, value) in more {
            *request.pointer_mut(path).unwrap() = value.clone();
        }
        let ended = Place::new(&request).run("out", &[]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        let (_, message, param, _) = ended.failure();
        (param.unwrap().to_string(), message.to_string())
    };
    for (privacy, param, says) in [
        (json!({}), "target_epsilon", "one of"),
        (json!({"target_epsilon": 1.0, "noise_multiplier": 1.0}), "noise_multiplier", "either"),
        (json!({"target_epsilon": 0.0}), "target_epsilon", "0.001"),
        (json!({"target_epsilon": 8.0, "delta": 0.5}), "delta", "0.1"),
        (json!({"target_epsilon": 8.0, "delta": 0.05}), "delta", "units"),
        (json!({"noise_multiplier": 0.01}), "noise_multiplier", "nothing is protected"),
        (json!({"target_epsilon": 8.0, "clip_norm": 0.0}), "clip_norm", "between"),
        (
            json!({"target_epsilon": 8.0, "clip_norm": 2.0, "clipping": "automatic"}),
            "clip_norm",
            "learning rate",
        ),
        (
            json!({"target_epsilon": 8.0, "unit": {"user_field": "messages", "examples_per_unit": 1}}),
            "unit.user_field",
            "whose",
        ),
        (
            json!({"target_epsilon": 8.0, "unit": {"user_field": "who", "examples_per_unit": 0}}),
            "unit.examples_per_unit",
            "between 1",
        ),
    ] {
        let (seen, message) = refused(privacy, &[]);
        assert_eq!(seen, format!("trainyard.privacy.{param}"), "{message}");
        assert!(message.contains(says), "{message}");
    }
    let batch = "/method/supervised/hyperparameters/batch_size";
    let (param, message) = refused(json!({"target_epsilon": 8.0}), &[(batch, json!(41))]);
    assert!(param.ends_with("batch_size") && message.contains("40"), "{param}: {message}");
}
