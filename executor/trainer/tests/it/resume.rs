//! A run that is killed, stopped or damaged goes on and ends with the same bits as one that was left alone.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use trainyard_plan::trainer::TrainerEvent;

use crate::trainer::{Ended, Place, Running, request};

const STEPS: u64 = 60;

fn place() -> Place {
    Place::new(&request(12))
}

/// The adapter's weights and the figures of every step.
fn outcome(place: &Place, out: &str) -> (Vec<u8>, String) {
    let csv = String::from_utf8(place.read(&format!("{out}/adapter/metrics.csv"))).unwrap();
    (place.read(&format!("{out}/adapter/adapter_model.safetensors")), csv)
}

fn assert_same(place: &Place, expected: &str, actual: &str) {
    let (expected, actual) = (outcome(place, expected), outcome(place, actual));
    assert_eq!(expected.1, actual.1, "the figures differ");
    assert!(expected.0 == actual.0, "the adapter differs");
}

fn below(n: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % n
}

#[test]
fn killed_again_and_again_it_ends_with_the_same_bits() {
    let place = place();
    assert_eq!(place.run("calm", &[]).code, Some(0));
    let mut reached = 0;
    for _ in 0..4 {
        let step = reached + 1 + below(8);
        let mut running = Running::start(place.command("hit", &[]));
        assert!(running.until_step(step), "killed at step {step}");
        // Not always right after a step: in the middle of the next, of an evaluation, or of a checkpoint too.
        std::thread::sleep(Duration::from_micros(below(5_000)));
        running.signal(Signal::SIGKILL);
        let ended = running.end();
        assert_eq!(ended.code, None, "it was to be killed at step {step}");
        reached = ended.steps().last().copied().unwrap();
    }
    let ended = place.run("hit", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.steps()[0] > 1, "it began anew");
    assert_eq!(ended.steps().last(), Some(&STEPS));
    assert_same(&place, "calm", "hit");
}

#[test]
fn stopped_by_a_signal_it_keeps_every_step() {
    let place = place();
    assert_eq!(place.run("calm", &[]).code, Some(0));
    let mut running = Running::start(place.command("stopped", &[]));
    assert!(running.until_step(7));
    running.signal(Signal::SIGTERM);
    let ended = running.end();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    let last = *ended.steps().last().unwrap();
    assert_eq!(ended.events.last(), Some(&TrainerEvent::Stopped { step: last }));
    assert!(!place.path("stopped/adapter").exists());

    let ended = place.run("stopped", &[]);
    assert_eq!((ended.code, ended.steps()[0]), (Some(0), last + 1), "{}", ended.stderr);
    assert_same(&place, "calm", "stopped");
}

/// The step at hand is given up: with one of 256 rows, one at a time, it would take seconds.
#[test]
fn a_stop_does_not_wait_for_the_end_of_a_long_step() {
    let mut request = request(1);
    request["method"]["supervised"]["hyperparameters"]["batch_size"] = json!(256);
    request["trainyard"]["batching"] = json!({"micro_batch_size": 1});
    request["trainyard"]["evaluation"] = json!({"every_steps": 1});
    let place = Place::new(&request);
    place.write("train.jsonl", &crate::trainer::chat(0..100).repeat(12));
    let mut running = Running::start(place.command("out", &[]));
    assert!(running.until(|event| matches!(event, TrainerEvent::Step(_))));
    running.signal(Signal::SIGTERM);
    let ended = running.end();
    assert_eq!((ended.code, ended.steps()), (Some(75), vec![1]), "{}", ended.stderr);
    assert_eq!(place.checkpoints("out"), ["step-000001"]);
    // The evaluation is not lost: where it was cut short, it is made up for.
    let evaluated = |ended: &Ended| {
        let step = |event: &TrainerEvent| match event {
            TrainerEvent::Evaluation(report) => Some(report.step),
            _ => None,
        };
        ended.events.iter().filter_map(step).collect::<Vec<_>>()
    };
    let mut steps = evaluated(&ended);
    steps.extend(evaluated(&place.run("out", &[])));
    assert_eq!(steps[..3], [0, 1, 2], "{steps:?}");
}

#[test]
fn commands_on_standard_input_are_obeyed() {
    let place = place();
    let start = |out: &str| {
        let mut command = place.command(out, &["--control", "stdin"]);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command);
        assert!(running.until_step(4));
        running
    };
    let mut running = start("checkpoint");
    running.say(r#"{"command":"checkpoint"}"#);
    let asked = |event: &TrainerEvent| matches!(event, TrainerEvent::Checkpoint(written) if written.step % 3 != 0);
    // One may fall on a step that has a checkpoint anyway.
    let unasked = |event: &TrainerEvent| matches!(event, TrainerEvent::Checkpoint(written) if written.step >= 9);
    assert!(running.until(|event| asked(event) || unasked(event)));
    running.say(r#"{"command":"stop"}"#);
    let ended = running.end();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(matches!(ended.events.last(), Some(TrainerEvent::Stopped { .. })));

    let mut running = start("cancel");
    running.say(r#"{"command":"cancel"}"#);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(matches!(ended.events.last(), Some(TrainerEvent::Cancelled { .. })));
    assert!(!place.path("cancel/adapter").exists());

    // Whoever started it is gone: nobody would take the result.
    let mut running = start("alone");
    running.close_stdin();
    let begun = Instant::now();
    let ended = running.end();
    assert_eq!(ended.code, Some(1));
    assert!(begun.elapsed() < Duration::from_secs(2) && !place.path("alone/adapter").exists());
}

#[test]
fn damaged_checkpoints_are_passed_over() {
    let place = place();
    assert_eq!(place.run("calm", &[]).code, Some(0));
    let mut running = Running::start(place.command("hit", &[]));
    assert!(running.until_step(20));
    running.signal(Signal::SIGKILL);
    running.end();
    let checkpoints = place.checkpoints("hit");
    let complete: Vec<&String> = checkpoints.iter().filter(|name| !name.starts_with('.')).collect();
    let [.., older, newest] = complete[..] else { panic!("{checkpoints:?}") };
    let weights = place.path(&format!("hit/checkpoints/{newest}/optimizer.safetensors"));
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    // What a killed attempt and a copy without its manifest leave behind.
    fs::create_dir(place.path("hit/checkpoints/.step-000900.partial")).unwrap();
    let bare = place.path("hit/checkpoints/step-000901");
    fs::create_dir(&bare).unwrap();
    fs::copy(&weights, bare.join("optimizer.safetensors")).unwrap();

    let ended = place.run("hit", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let from: u64 = older.strip_prefix("step-").unwrap().parse().unwrap();
    assert_eq!(ended.steps()[0], from + 1);
    for passed in [newest.as_str(), "step-000901"] {
        assert!(ended.stderr.contains(&format!("{passed}: ")), "{passed}: {}", ended.stderr);
    }
    assert_same(&place, "calm", "hit");
    // The damaged one with the highest number has not pushed out the good ones.
    assert_eq!(place.checkpoints("hit"), ["step-000057", "step-000060", "step-000901"]);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let place = place();
    let mut running = Running::start(place.command("out", &[]));
    assert!(running.until_step(5));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end().code, Some(75));

    let mut other = request(12);
    other["seed"] = json!(8);
    place.write("spec.json", &other.to_string());
    let ended = place.run("out", &[]);
    assert_eq!(ended.code, Some(2));
    let (code, message, _, user) = ended.failure();
    assert_eq!((code, user), ("checkpoint_mismatch", true));
    assert!(message.contains("another plan"), "{message}");

    place.write("spec.json", &request(12).to_string());
    place.write("train.jsonl", &crate::trainer::chat(1..41));
    let ended = place.run("out", &[]);
    assert!(ended.failure().1.contains("another training file"), "{:?}", ended.failure());

    let ended = place.run("out", &["--resume", "never"]);
    assert_eq!((ended.code, ended.steps()[0]), (Some(0), 1), "{}", ended.stderr);
}
