//! The state machine: every arrow that there is, and that there is no other.

use trainyard_openapi::extension::JobResult;
use trainyard_openapi::id::{ExecutorId, FileId, Nonce};
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_scheduler::job::JobState;
use trainyard_scheduler::job::state::{Lease, Stop, Transition};

use crate::random::Random;

/// Rows are states, columns transitions, entries the state after; `-` is refused. A name's addition is what the state carries.
const ARROWS: &str = "
from                validated dispatch   claim   renew           preempt         pause           resume     cancel          return        succeed   fail      erase
validating          queued    -          -       -               -               paused:new      -          cancelled       -             -         failed    -
queued              -         dispatched -       -               -               paused          -          cancelled       -             -         failed    -
dispatched          -         dispatched running -               -               paused          -          cancelled       queued        -         failed    -
running             -         -          -       running         running:preempt running:pause   -          running:cancel  queued        succeeded failed    -
running:preempt     -         -          -       running:preempt running:preempt running:pause   -          running:cancel  queued        succeeded failed    -
running:pause       -         -          -       running:pause   running:pause   running:pause   running    running:cancel  paused        succeeded failed    -
running:cancel      -         -          -       running:cancel  running:cancel  -               -          running:cancel  cancelled     cancelled cancelled -
paused:new          -         -          -       -               -               paused:new      validating cancelled       -             -         failed    -
paused              -         -          -       -               -               paused          queued     cancelled       -             -         failed    -
succeeded           -         -          -       -               -               -               -          -               -             -         -         succeeded
failed              -         -          -       -               -               -               -          -               -             -         -         failed
cancelled           -         -          -       -               -               -               -          -               -             -         -         cancelled
";

fn name(state: &JobState) -> &'static str {
    match state {
        JobState::Validating => "validating",
        JobState::Queued { .. } => "queued",
        JobState::Dispatched { .. } => "dispatched",
        JobState::Running { stop: None, .. } => "running",
        JobState::Running { stop: Some(Stop::Budget), .. } => "running:budget",
        JobState::Running { stop: Some(Stop::Preempt), .. } => "running:preempt",
        JobState::Running { stop: Some(Stop::Pause), .. } => "running:pause",
        JobState::Running { stop: Some(Stop::Cancel), .. } => "running:cancel",
        JobState::Paused { validated: false } => "paused:new",
        JobState::Paused { validated: true } => "paused",
        JobState::Succeeded { .. } => "succeeded",
        JobState::Failed { .. } => "failed",
        JobState::Cancelled { .. } => "cancelled",
    }
}

fn lease(epoch: u64) -> Lease {
    Lease {
        epoch,
        nonce: Nonce::generate().unwrap(),
        executor: ExecutorId::generate().unwrap(),
        since_ms: 1,
        seen_ms: 1,
        until_ms: 60_001,
        reported: 0,
    }
}

fn transition(name: &str, now_ms: i64) -> Transition {
    match name {
        "validated" => Transition::Validated { now_ms },
        "dispatch" => Transition::Dispatch { now_ms },
        "claim" => Transition::Claim(lease(1)),
        "renew" => Transition::Renew { now_ms, until_ms: now_ms + 60_000 },
        "preempt" => Transition::Preempt,
        "pause" => Transition::Pause,
        "resume" => Transition::Resume { now_ms },
        "cancel" => Transition::Cancel { now_ms },
        "return" => Transition::Return { now_ms },
        "succeed" => Transition::Succeed {
            now_ms,
            model: "ft:m".to_string(),
            result_file: FileId::generate().unwrap(),
            trained_tokens: 9,
            result: Box::new(JobResult::default()),
        },
        "fail" => Transition::Fail {
            now_ms,
            error: JobError { code: JobErrorCode::EngineError, message: "m".into(), param: None },
        },
        "erase" => Transition::Erase,
        other => panic!("no transition '{other}'"),
    }
}

/// A state by the shortest way there.
fn reached(name: &str) -> JobState {
    let way: &[&str] = match name {
        "validating" => &[],
        "queued" => &["validated"],
        "dispatched" => &["validated", "dispatch"],
        "running" => &["validated", "dispatch", "claim"],
        "running:preempt" => &["validated", "dispatch", "claim", "preempt"],
        "running:pause" => &["validated", "dispatch", "claim", "pause"],
        "running:cancel" => &["validated", "dispatch", "claim", "cancel"],
        "paused:new" => &["pause"],
        "paused" => &["validated", "pause"],
        "succeeded" => &["validated", "dispatch", "claim", "succeed"],
        "failed" => &["fail"],
        "cancelled" => &["cancel"],
        other => panic!("no state '{other}'"),
    };
    way.iter().fold(JobState::new(), |state, step| state.apply(transition(step, 5)).unwrap())
}

/// Every cell of the table: from, transition, to.
fn arrows() -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    let mut lines = ARROWS.trim().lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let mut arrows = Vec::new();
    for line in lines {
        assert_eq!(line.len(), head.len(), "{line:?}");
        for (transition, to) in head.iter().zip(&line).skip(1) {
            arrows.push((line[0], *transition, Some(*to).filter(|to| *to != "-")));
        }
    }
    arrows
}

#[test]
fn every_arrow_is_as_drawn() {
    let arrows = arrows();
    assert_eq!(arrows.len(), 12 * 12);
    for (from, by, to) in arrows {
        let before = reached(from);
        assert_eq!(name(&before), from);
        match (before.clone().apply(transition(by, 77)), to) {
            (Ok(after), Some(to)) => assert_eq!(name(&after), to, "{from} by {by}"),
            (Err(refusal), None) => {
                assert_eq!(refusal.state, before.status().as_str(), "{from} by {by}");
                let text = refusal.to_string();
                assert!(text.starts_with(&format!("a job that is {}", refusal.state)), "{text}");
            }
            (seen, expected) => panic!("{from} by {by}: {seen:?}, not {expected:?}"),
        }
    }
}

#[test]
fn states_carry_what_belongs_to_them() {
    let JobState::Queued { since_ms } =
        reached("validating").apply(transition("validated", 8)).unwrap()
    else {
        panic!("not queued")
    };
    assert_eq!(since_ms, 8);
    let claimed = lease(3);
    let running = reached("dispatched").apply(Transition::Claim(claimed.clone())).unwrap();
    assert_eq!(running.lease(), Some(&claimed));
    let renewed = running.apply(Transition::Renew { now_ms: 100, until_ms: 160 }).unwrap();
    assert_eq!(renewed.lease(), Some(&Lease { seen_ms: 100, until_ms: 160, ..claimed.clone() }));
    let asked = renewed.apply(Transition::Pause).unwrap();
    assert_eq!(asked.owners_wish(), Some(Stop::Pause));
    let asked = asked.apply(transition("cancel", 9)).unwrap();
    assert_eq!(asked.owners_wish(), Some(Stop::Cancel));
    assert_eq!(asked.lease().map(|lease| lease.epoch), Some(3), "the lease stays until it ends");
    assert_eq!(reached("running:preempt").owners_wish(), None);
}

#[test]
fn random_walks_stay_on_the_drawing() {
    let arrows = arrows();
    let words: Vec<&str> = arrows[..11].iter().map(|(_, by, _)| *by).collect();
    for seed in 1..=500 {
        let mut random = Random::new(seed);
        let mut state = JobState::new();
        let mut ended: Option<JobState> = None;
        for step in 0..60 {
            let by = *random.pick(&words);
            let from = name(&state);
            let expected = arrows.iter().find(|(f, t, _)| *f == from && *t == by).unwrap().2;
            let after = state.clone().apply(transition(by, step)).ok();
            assert_eq!(after.as_ref().map(name), expected, "seed {seed}, step {step}");
            // What is stored and read again is the same state.
            if let Some(after) = after {
                let json = serde_json::to_string(&after).unwrap();
                assert_eq!(serde_json::from_str::<JobState>(&json).unwrap(), after);
                state = after;
            }
            match &ended {
                Some(ended) => assert_eq!(*ended, state, "seed {seed}: an end is an end"),
                None if state.status().is_terminal() => ended = Some(state.clone()),
                None => {}
            }
        }
    }
}
