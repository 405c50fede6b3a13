//! Memory that truly runs out: the run is held to an address space that the planned micro-batch does not fit into.

use std::process::{Command, Stdio};

use serde_json::json;
use trainyard_plan::trainer::TrainerEvent;

use crate::trainer::{Ended, Place, Running, chat, request, tiny_model};

/// Rows of the effective batch: the activations of one micro-batch of all of them are much larger than all else that moves.
const BATCH: u32 = 256;

fn place(micro_batch_size: u32) -> Place {
    let mut request = request(1);
    request["method"]["supervised"]["hyperparameters"]["batch_size"] = json!(BATCH);
    // Dropout draws other numbers for other micro-batches.
    request["trainyard"]["adapter"]["dropout"] = json!(0.0);
    request["trainyard"]["batching"] =
        json!({"micro_batch_size": micro_batch_size, "gradient_checkpointing": false});
    request["trainyard"]["sequence"] = json!({"packing": false});
    request["trainyard"]["checkpoint"] = json!({"every_steps": 1, "every_seconds": null});
    // A model without a chat template: the stack that templates are rendered on is more address space than a step needs.
    request["model"] = json!("model");
    let place = Place::new(&request);
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let copy = place.path("model").join(name);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(tiny_model().join(name), copy).unwrap();
    }
    place.write("train.jsonl", &texts(0..100).repeat(11));
    place.write("valid.jsonl", &texts(0..8));
    place
}

/// Sums in words, three times each, a text a line.
fn texts(numbers: std::ops::Range<usize>) -> String {
    let line = |line: &str| {
        let chat: serde_json::Value = serde_json::from_str(line).unwrap();
        let said = |turn: usize| chat["messages"][turn]["content"].as_str().unwrap().to_string();
        json!({"text": (said(0) + " " + &said(1) + " ").repeat(3)}).to_string() + "\n"
    };
    chat(numbers).lines().map(line).collect()
}

/// The largest address space in KiB of a run that nothing holds, after its last step.
fn peak_kib(place: &Place) -> (u64, Ended) {
    let mut running = Running::start(place.command("calm", &[]));
    assert!(running.until_step(5), "{:?}", running.end());
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    let peak = line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
    (peak, running.end())
}

/// Trains into `out` in an address space of `kib`.
fn run_within(place: &Place, out: &str, kib: u64) -> Ended {
    let trainer = place.command(out, &[]);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" \"$@\"")]);
    command.arg(trainer.get_program()).args(trainer.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(command).end()
}

fn losses(ended: &Ended) -> Vec<f64> {
    let loss = |event: &TrainerEvent| match event {
        TrainerEvent::Step(step) => step.train_loss,
        _ => None,
    };
    ended.events.iter().filter_map(loss).collect()
}

#[test]
fn a_step_without_memory_is_done_again_in_smaller_pieces() {
    let large = place(BATCH);
    let (small_kib, _) = peak_kib(&place(1));
    let (large_kib, calm) = peak_kib(&large);
    assert!(large_kib > small_kib + 64 * 1024, "{small_kib} and {large_kib} KiB tell nothing");

    // How much of the difference is only reserved and never touched hangs on the allocator: the wall is moved in until it is met.
    let within = |share: u64| {
        let out = format!("held-{share}");
        let held = run_within(&large, &out, small_kib + (large_kib - small_kib) / share);
        (out, held)
    };
    let met = [2, 4, 8, 16, 32].into_iter().map(within).find(|(_, held)| {
        held.code != Some(0)
            || held
                .events
                .iter()
                .any(|event| matches!(event, TrainerEvent::MicroBatchReduced { .. }))
    });
    let (out, held) = met.expect("a run that meets the wall");
    assert_eq!(held.code, Some(0), "{}", held.stderr);
    let mut rows = BATCH;
    for event in &held.events {
        if let TrainerEvent::MicroBatchReduced { from, to, reason, .. } = event {
            assert_eq!((*from, *to), (rows, rows / 2), "{reason}");
            rows /= 2;
        }
    }
    assert!(rows < BATCH, "nothing ran out");
    let Some(TrainerEvent::Finished(finished)) = held.events.last() else {
        panic!("{:?}", held.events.last())
    };
    assert_eq!(finished.micro_batch_size, Some(rows));
    let (expected, seen) = (losses(&calm), losses(&held));
    assert_eq!(expected.len(), seen.len());
    for (expected, seen) in expected.iter().zip(&seen) {
        assert!((expected - seen).abs() < 1e-4, "{expected} and {seen}: the batch is another one");
    }

    // What goes on from a checkpoint does not run into the same wall again.
    let state = large.read(&format!("{out}/checkpoints/step-000005/state.json"));
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["micro_batch_size"], rows);
    let state = large.read("calm/checkpoints/step-000005/state.json");
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state.get("micro_batch_size"), None, "nothing ran out there");
}
