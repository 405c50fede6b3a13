//! A job that goes on from the result of another.

use serde_json::{Value, json};
use trainyard_trainer::artifact::manifest;

use super::{Job, done, logged, matrix, place, result, weights};
use crate::trainer::Place;

/// `job` made to go on from the result in `out`, of which these files are still there.
fn after(place: &Place, job: Job, out: &str, stages: &[&str], files: &[&str]) -> Job {
    let directory = place.path(&format!("{out}/adapter"));
    let (sha256, _) = manifest::hash_file(&directory.join(manifest::NAME)).unwrap();
    let mut earlier = json!({});
    for name in files {
        let (sha256, _) = manifest::hash_file(&place.path(name)).unwrap();
        earlier[sha256] = json!({"path": place.path(name), "name": name});
    }
    let config = std::fs::read(directory.join("adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let parent =
        json!({"model": "ours", "manifest_sha256": sha256, "stages": stages, "rank": config["r"]});
    job.with("parent", parent).with("parent_directory", json!(directory)).with("earlier", earlier)
}

const ALL: [&str; 4] =
    ["sums.train.jsonl", "sums.valid.jsonl", "colours.train.jsonl", "colours.valid.jsonl"];

#[test]
fn the_matrix_and_the_memory_go_on() {
    let place = place();
    let strategies = json!([{"type": "replay", "ratio": 0.25, "capacity": 12}, {"type": "ewc", "lambda": 0.5, "samples": 6}]);
    let first = done(&place, &Job::new(strategies.clone()).of(&["sums", "colours"]), "first");
    let job =
        after(&place, Job::new(strategies).of(&["letters"]), "first", &["sums", "colours"], &ALL);
    let ended = done(&place, &job, "second");
    let (one, two) = (result(&first), result(&ended));
    let (one, all) = (matrix(&one, "loss"), matrix(&two, "loss"));
    assert_eq!(all.stages, ["sums", "colours", "letters"]);
    assert_eq!((all.rows.len(), all.base.held_out), (3, one.base.held_out));
    for row in 0..2 {
        assert_eq!(all.rows[row].stages[..2], one.rows[row].stages[..]);
        assert_eq!(all.rows[row].held_out, one.rows[row].held_out);
    }
    assert_eq!(all.base.stages[..2], one.base.stages[..]);
    // What the adapter after the first stage would score on the last cannot be known; that after the second was measured.
    assert_eq!(all.rows[0].stages[2], all.base.stages[2]);
    assert_ne!(all.rows[1].stages[2], all.base.stages[2]);
    let names: Vec<_> =
        two.stages.iter().map(|stage| (stage.name.as_str(), stage.last_step)).collect();
    // 48 new lines in batches of which a quarter is replayed: 8 steps in place of 6.
    assert_eq!(names, [("sums", None), ("colours", None), ("letters", Some(8))]);
    let left: Value = serde_json::from_slice(&place.read("second/adapter/continual.json")).unwrap();
    assert_eq!(left["strategies"][1]["state"]["anchors"], 3);
    assert_eq!(left["strategies"][0]["state"]["memory"]["samples"].as_array().unwrap().len(), 3);
    assert!(!logged(&ended, "begins anew"));
}

#[test]
fn one_job_of_two_stages_is_two_jobs_of_one() {
    let place = place();
    done(&place, &Job::new(json!([])).of(&["sums"]), "first");
    let job = after(&place, Job::new(json!([])).of(&["colours"]), "first", &["sums"], &ALL);
    let ended = done(&place, &job, "second");
    let told = result(&ended);
    assert_eq!(matrix(&told, "loss").rows.len(), 2);
    assert!(weights(&place, "first") != weights(&place, "second"));
}

#[test]
fn what_was_erased_is_neither_replayed_nor_measured() {
    let place = place();
    let strategies = json!([
        {"type": "replay", "ratio": 0.5, "capacity": 12}, {"type": "derpp", "ratio": 0.5, "capacity": 12}, {"type": "a_gem", "capacity": 12},
    ]);
    done(&place, &Job::new(strategies.clone()).of(&["sums", "colours"]), "first");
    let job = after(
        &place,
        Job::new(strategies).of(&["letters"]),
        "first",
        &["sums", "colours"],
        &["colours.train.jsonl", "colours.valid.jsonl"],
    );
    let ended = done(&place, &job, "second");
    assert!(logged(&ended, "replay: 6 remembered examples are forgotten"), "{}", ended.stderr);
    assert!(logged(&ended, "derpp: 6 remembered") && logged(&ended, "a_gem: 6 remembered"));
    assert!(logged(&ended, "stage 'sums' of an earlier job is not measured"));
    let told = result(&ended);
    assert_eq!(matrix(&told, "loss").stages, ["colours", "letters"]);
    let (gone, _) = manifest::hash_file(&place.path("sums.train.jsonl")).unwrap();
    let left: Value = serde_json::from_slice(&place.read("second/adapter/continual.json")).unwrap();
    for strategy in left["strategies"].as_array().unwrap() {
        let state = strategy["state"].to_string();
        assert!(!state.contains(&gone), "{state}");
    }
}

#[test]
fn an_ordinary_result_is_one_stage_of_which_nothing_is_remembered() {
    let place = place();
    assert_eq!(place.run("plain", &[]).code, Some(0));
    for strategies in [
        json!([{"type": "replay"}]),
        json!([{"type": "o_lora"}]),
        json!([{"type": "merge"}]),
        json!([{"type": "lwf"}]),
    ] {
        let job =
            after(&place, Job::new(strategies.clone()).of(&["letters"]), "plain", &["before"], &[]);
        let out = format!("second-{}", strategies[0]["type"].as_str().unwrap());
        let ended = done(&place, &job, &out);
        let told = result(&ended);
        let names: Vec<&str> = told.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, ["before", "letters"]);
        assert_eq!(matrix(&told, "loss").stages, ["letters"]);
        let config: Value =
            serde_json::from_slice(&place.read(&format!("{out}/adapter/adapter_config.json")))
                .unwrap();
        let rank = if out.contains("o_lora") || out.contains("merge") { 8 } else { 4 };
        assert_eq!(config["r"], rank, "{strategies}");
    }
}
