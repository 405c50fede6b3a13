//! A stage that costs too much of what was learned is rejected, and the adapter before it stays, bit for bit.

use serde_json::{Value, json};
use trainyard_plan::trainer::TrainerEvent;

use super::{Job, checkpoint, done, lines, matrix, place, result, weights};

/// The colours' questions with the answers read backwards.
fn hostile() -> String {
    let text = lines("colours", 0..24);
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let said = |at: usize| line["messages"][at]["content"].as_str().unwrap().to_string();
            super::line(&said(0), &said(1).chars().rev().collect::<String>())
        })
        .collect()
}

#[test]
fn a_hostile_stage_is_rejected_and_leaves_no_trace() {
    for strategies in [
        json!([]),
        json!([{"type": "replay", "capacity": 8}, {"type": "ewc", "lambda": 0.001}]),
        json!([{"type": "o_lora"}]),
        json!([{"type": "ema", "decay": 0.5}]),
        json!([{"type": "merge", "weights": [1.0, 1.0]}]),
        json!([{"type": "derpp", "capacity": 8}, {"type": "lwf"}, {"type": "a_gem", "capacity": 8}]),
    ] {
        rejected(&strategies);
    }
}

fn rejected(strategies: &Value) {
    let place = place();
    let rates = json!({"optimizer": {"learning_rate": 0.02, "weight_decay": 0.0}});
    let good = Job::new(strategies.clone()).of(&["colours"]).epochs(12).changed(rates.clone());
    done(&place, &good, "good");
    place.write("letters.train.jsonl", &hostile());
    let both = Job::new(strategies.clone())
        .of(&["colours", "letters"])
        .epochs(12)
        .changed(rates)
        .with("max_forgetting", json!(0.0));
    let ended = done(&place, &both, "both");
    let told = result(&ended);
    let (kept, hostile) = (&told.stages[0], &told.stages[1]);
    assert!(kept.kept && !hostile.kept, "{strategies}: {:?}", told.stages);
    let reason = hostile.reason.as_ref().unwrap();
    for part in ["rejected: loss on stage 'colours'", "max_forgetting allows 0"] {
        assert!(reason.contains(part), "{strategies}: {reason}");
    }
    let heard = ended.events.iter().any(|event| {
        matches!(event, TrainerEvent::StageEnded { name, kept: false, reason: Some(_), .. } if name == "letters")
    });
    assert!(heard, "{strategies}");
    assert!(weights(&place, "good") == weights(&place, "both"), "{strategies}: another adapter");
    let saved = std::fs::read(
        checkpoint(&place, "both", hostile.last_step.unwrap()).join("adapter_model.safetensors"),
    );
    assert!(saved.unwrap() == weights(&place, "good"), "{strategies}: the checkpoint's differs");
    let loss = matrix(&told, "loss");
    assert_eq!(loss.rows[0].stages, loss.rows[1].stages);
    // What strategies remember is that of the stage before, too.
    let read = |out: &str| {
        let left: Value =
            serde_json::from_slice(&place.read(&format!("{out}/adapter/continual.json"))).unwrap();
        left["strategies"].clone()
    };
    let (good, both) = (read("good"), read("both"));
    for (good, both) in good.as_array().unwrap().iter().zip(both.as_array().unwrap()) {
        let drawn = |state: &Value| {
            let memory = if state["rehearsal"].is_null() { state } else { &state["rehearsal"] };
            memory["memory"]["samples"].clone()
        };
        assert_eq!(drawn(&good["state"]), drawn(&both["state"]), "{strategies}");
    }
    let tensors = |out: &str| place.read(&format!("{out}/adapter/continual.safetensors"));
    assert!(tensors("good") == tensors("both"), "{strategies}: other tensors");
}

#[test]
fn the_general_file_has_a_limit_of_its_own() {
    let place = place();
    let job = Job::new(json!([]))
        .with("max_held_out_fall", json!(0.0))
        .with("max_forgetting", Value::Null);
    job.changed(json!({"optimizer": {"learning_rate": 0.05}})).write(&place, "plan.json");
    let ended = super::run(&place, "plan.json", "out");
    let reasons: Vec<String> = ended
        .events
        .iter()
        .filter_map(|event| match event {
            TrainerEvent::StageEnded { kept: false, reason, .. } => reason.clone(),
            _ => None,
        })
        .collect();
    assert!(!reasons.is_empty(), "{}", ended.stderr);
    assert!(reasons.iter().all(|reason| reason.contains("the held-out set")), "{reasons:?}");
}

#[test]
fn what_breaks_the_general_files_limit_leaves_no_trace() {
    let place = place();
    let rates = json!({"optimizer": {"learning_rate": 0.02, "weight_decay": 0.0}});
    let job =
        |stages: &[&'static str]| Job::new(json!([])).of(stages).epochs(6).changed(rates.clone());
    let two = ["colours", "letters"];
    done(&place, &job(&two[..1]), "one");
    let free = done(&place, &job(&two), "free");
    let told = result(&free);
    let loss = matrix(&told, "loss");
    let rise = |row: usize| loss.rows[row].held_out.unwrap() - loss.base.held_out.unwrap();
    assert!(rise(1) > rise(0).max(0.0), "{} {}", rise(0), rise(1));
    let limit = f64::midpoint(rise(0).max(0.0), rise(1));
    let limited = done(&place, &job(&two).with("max_held_out_fall", json!(limit)), "limited");
    let outcomes: Vec<bool> = result(&limited).stages.iter().map(|stage| stage.kept).collect();
    assert_eq!(outcomes, [true, false], "{:?}", result(&limited).stages);
    assert!(weights(&place, "limited") == weights(&place, "one"), "another adapter");
    assert!(weights(&place, "free") != weights(&place, "one"));
}
