//! Runs of several stages by the real binary on the tiny model.

mod formulas;
mod gate;
mod going_on;
mod resume;
mod stream;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use trainyard_openapi::extension::{ContinualResult, Matrix};
use trainyard_plan::trainer::{RunSpec, TrainerEvent};
use trainyard_trainer::run::spec;

use crate::trainer::{Ended, Place, Running, request};

/// Three kinds of sentences that have little to do with each other.
const STAGES: [&str; 3] = ["sums", "colours", "letters"];

fn line(question: &str, answer: &str) -> String {
    let messages = json!([
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]);
    json!({ "messages": messages }).to_string() + "\n"
}

fn lines(stage: &str, numbers: std::ops::Range<usize>) -> String {
    let things = ["grass", "snow", "coal", "blood", "the sea", "gold"];
    let colours = ["green", "white", "black", "red", "blue", "yellow"];
    numbers
        .map(|i| match stage {
            "sums" => crate::trainer::chat(i..i + 1),
            "colours" => line(
                &format!("{}: which colour has {}?", i / 6, things[i % 6]),
                &format!("{} is {}, always.", things[i % 6], colours[i % 6]),
            ),
            _ => line(
                &format!("Spell number {i}."),
                &format!(
                    "{} {} {}",
                    char::from(b'a' + (i % 26) as u8),
                    i % 7,
                    "zz".repeat(i % 3 + 1)
                ),
            ),
        })
        .collect()
}

/// A place with the files of three stages and a general one.
fn place() -> Place {
    let place = Place::new(&request(2));
    for stage in STAGES {
        place.write(&format!("{stage}.train.jsonl"), &lines(stage, 0..24));
        place.write(&format!("{stage}.valid.jsonl"), &lines(stage, 30..36));
    }
    place.write("general.jsonl", &lines("sums", 60..66));
    place
}

/// The plan of a job with stages: 24 lines each, two passes, 8 a step, so 6 steps a stage.
struct Job {
    stages: Vec<&'static str>,
    continual: Value,
    change: Value,
    epochs: u32,
}

impl Job {
    fn new(strategies: Value) -> Self {
        let continual = json!({ "strategies": strategies });
        Self { stages: STAGES.to_vec(), continual, change: json!({}), epochs: 2 }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.continual[key] = value;
        self
    }

    fn changed(mut self, change: Value) -> Self {
        self.change = change;
        self
    }

    fn epochs(mut self, epochs: u32) -> Self {
        self.epochs = epochs;
        self
    }

    fn of(mut self, stages: &[&'static str]) -> Self {
        self.stages = stages.to_vec();
        self
    }

    /// Writes the run's file as the agent would.
    fn write(&self, place: &Place, name: &str) {
        let config = |model: &std::path::Path| Ok(model.join("config.json"));
        let mut request = request(self.epochs);
        request["trainyard"]["adapter"]["dropout"] = json!(0.05);
        for (key, value) in self.change.as_object().unwrap() {
            request["trainyard"][key] = value.clone();
        }
        place.write("spec.json", &request.to_string());
        let mut run =
            serde_json::to_value(spec::read_request(&place.path("spec.json"), config).unwrap())
                .unwrap();
        let file = |name: String| json!({"path": place.path(&name), "name": name});
        let stages: Vec<Value> = self
            .stages
            .iter()
            .map(|stage| {
                json!({"name": stage, "training_file": format!("{stage}.train.jsonl"), "validation_file": format!("{stage}.valid.jsonl")})
            })
            .collect();
        let mut continual = json!({
            "stages": stages, "strategies": [], "held_out_file": "general.jsonl",
            "max_forgetting": null, "max_held_out_fall": null, "order": "as_given",
        });
        let mut files = json!({
            "stages": self.stages.iter().map(|stage| json!({
                "training": file(format!("{stage}.train.jsonl")),
                "validation": file(format!("{stage}.valid.jsonl")),
            })).collect::<Vec<_>>(),
            "held_out": file("general.jsonl".to_string()),
            "parent": null,
            "earlier": {},
        });
        for (key, value) in self.continual.as_object().unwrap() {
            match key.as_str() {
                "parent_directory" => files["parent"] = value.clone(),
                "earlier" => files["earlier"] = value.clone(),
                _ => continual[key] = value.clone(),
            }
        }
        run["plan"]["continual"] = continual;
        run["continual"] = files;
        let run: RunSpec = serde_json::from_value(run).unwrap();
        place.write(name, &serde_json::to_string(&run).unwrap());
    }
}

/// The command that carries out the run in `plan`.
fn command(place: &Place, plan: &str, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard-trainer"));
    command.args(["run", "--threads", "1", "--plan"]).arg(place.path(plan));
    command.arg("--out").arg(place.path(out));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(place: &Place, plan: &str, out: &str) -> Ended {
    Running::start(command(place, plan, out)).end()
}

/// Carries out a job and expects it to end well.
fn done(place: &Place, job: &Job, out: &str) -> Ended {
    let plan = format!("{out}.json");
    job.write(place, &plan);
    let ended = run(place, &plan, out);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

fn result(ended: &Ended) -> ContinualResult {
    match ended.events.last() {
        Some(TrainerEvent::Finished(finished)) => finished.continual.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn matrix<'a>(result: &'a ContinualResult, metric: &str) -> &'a Matrix {
    result.matrices.iter().find(|matrix| matrix.metric == metric).unwrap()
}

fn weights(place: &Place, out: &str) -> Vec<u8> {
    place.read(&format!("{out}/adapter/adapter_model.safetensors"))
}

fn checkpoint(place: &Place, out: &str, step: u64) -> PathBuf {
    place.path(&format!("{out}/checkpoints/step-{step:06}"))
}

/// What the trainer says to people of warnings and news.
fn logged(ended: &Ended, words: &str) -> bool {
    ended
        .events
        .iter()
        .any(|event| matches!(event, TrainerEvent::Log { message, .. } if message.contains(words)))
}
