//! A run of stages that is killed goes on and ends with the same bits, whatever is done against forgetting.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trainyard_plan::trainer::TrainerEvent;

use super::{Job, command, done, place, run};
use crate::trainer::Running;

/// Kills the run at steps inside every stage, also while a stage is measured, and compares all that it hands back.
fn goes_on(strategies: Value, with_gate: bool) {
    let place = place();
    let mut job = Job::new(strategies.clone());
    if with_gate {
        job = job.with("max_forgetting", json!(1e6)).with("max_held_out_fall", json!(1e6));
    }
    let calm = done(&place, &job, "calm");
    let total = *calm.steps().last().unwrap();
    job.write(&place, "hit.json");
    let mut reached = 0;
    for step in [2, 6, 8, 13] {
        let wanted = (reached + 1).max(step);
        if wanted >= total {
            break;
        }
        let mut running = Running::start(command(&place, "hit.json", "hit"));
        assert!(running.until_step(wanted), "{strategies}: to be killed at step {wanted}");
        running.signal(Signal::SIGKILL);
        let ended = running.end();
        assert_eq!(ended.code, None);
        reached = *ended.steps().last().unwrap();
    }
    let ended = run(&place, "hit.json", "hit");
    assert_eq!(ended.code, Some(0), "{strategies}: {}", ended.stderr);
    assert!(ended.steps().first().is_none_or(|step| *step > 1), "{strategies}: it began anew");
    let mut names = crate::trainer::names(&place.path("calm/adapter"));
    assert_eq!(names, crate::trainer::names(&place.path("hit/adapter")));
    // The card and the manifest hold the seconds that training took.
    names.retain(|name| name != "README.md" && name != "manifest.json");
    for name in names {
        let read = |out: &str| place.read(&format!("{out}/adapter/{name}"));
        assert!(read("calm") == read("hit"), "{strategies}: {name} differs");
    }
}

#[test]
fn sequential() {
    goes_on(json!([]), true);
}

#[test]
fn replay() {
    goes_on(json!([{"type": "replay", "ratio": 0.3, "capacity": 10}]), true);
}

#[test]
fn derpp() {
    goes_on(json!([{"type": "derpp", "ratio": 0.3, "capacity": 8, "top_k": 4}]), true);
}

#[test]
fn ewc() {
    goes_on(json!([{"type": "ewc", "lambda": 1.0, "samples": 9}]), true);
    goes_on(json!([{"type": "ewc", "lambda": 1.0, "online": true, "decay": 0.5}]), false);
}

#[test]
fn lwf() {
    goes_on(json!([{"type": "lwf"}]), true);
}

#[test]
fn a_gem() {
    goes_on(
        json!([{"type": "a_gem", "batch_size": 3, "policy": "reservoir", "capacity": 7}]),
        true,
    );
}

#[test]
fn o_lora() {
    goes_on(json!([{"type": "o_lora", "norm": 0.01}]), true);
}

#[test]
fn ema() {
    goes_on(json!([{"type": "ema", "decay": 0.5}]), true);
}

#[test]
fn merge() {
    goes_on(json!([{"type": "merge"}]), true);
}

#[test]
fn joint() {
    goes_on(json!([{"type": "joint"}]), false);
}

#[test]
fn several_together() {
    let strategies = json!([
        {"type": "replay"}, {"type": "lwf"}, {"type": "ewc", "lambda": 1.0}, {"type": "a_gem"}, {"type": "ema"},
    ]);
    goes_on(strategies, true);
}

/// A step that a stop cuts short has drawn its examples: when it is taken again, it has the same ones.
#[test]
fn stopped_by_a_signal_in_every_stage() {
    let place = place();
    let strategies = json!([{"type": "replay", "ratio": 0.4}, {"type": "derpp", "ratio": 0.4, "top_k": 3}, {"type": "a_gem"}]);
    let job = Job::new(strategies).with("max_forgetting", json!(1e6));
    done(&place, &job, "calm");
    job.write(&place, "stopped.json");
    let mut stops = 0;
    loop {
        let mut running = Running::start(command(&place, "stopped.json", "stopped"));
        let seen = std::cell::Cell::new(0);
        let third = running.until(|event| {
            seen.set(seen.get() + u32::from(matches!(event, TrainerEvent::Step(_))));
            seen.get() == 3
        });
        if third {
            stops += 1;
            running.signal(Signal::SIGTERM);
        }
        let ended = running.end();
        match ended.code {
            Some(75) => {}
            code => {
                assert_eq!(code, Some(0), "{}", ended.stderr);
                break;
            }
        }
    }
    assert!(stops > 3, "it was stopped only {stops} times");
    for name in
        ["adapter_model.safetensors", "continual.safetensors", "continual.json", "metrics.csv"]
    {
        let read = |out: &str| place.read(&format!("{out}/adapter/{name}"));
        assert!(read("calm") == read("stopped"), "{name} differs");
    }
}
