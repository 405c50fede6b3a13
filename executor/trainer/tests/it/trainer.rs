//! The real binary on the tiny model, with chat lines made here. The same call gives the same lines.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use trainyard_plan::trainer::TrainerEvent;

const NUMBERS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// The directory of the tiny model that the end-to-end tests use too.
pub(crate) fn tiny_model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

/// Sums in words, a chat a line.
pub(crate) fn chat(numbers: std::ops::Range<usize>) -> String {
    let line = |i: usize| {
        let (a, b) = (i % 10, i / 10 % 10);
        let question = format!("What is the sum of {} and {}?", NUMBERS[a], NUMBERS[b]);
        let answer = format!("It is {} and {}.", NUMBERS[(a + b) / 10], NUMBERS[(a + b) % 10]);
        let messages = json!([
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]);
        json!({ "messages": messages }).to_string() + "\n"
    };
    numbers.map(line).collect()
}

/// A request for `epochs` passes over 40 lines in batches of 8: 5 steps a pass. fp32 with dropout and validation.
pub(crate) fn request(epochs: u32) -> Value {
    json!({
        "model": tiny_model(),
        "training_file": "train.jsonl",
        "validation_file": "valid.jsonl",
        "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs, "batch_size": 8}}},
        "trainyard": {
            "adapter": {"rank": 4, "alpha": 8.0, "dropout": 0.1},
            "optimizer": {"learning_rate": 0.01, "weight_decay": 0.01},
            "precision": "fp32",
            "evaluation": {"every_steps": 4},
            "checkpoint": {"every_steps": 3, "every_seconds": null, "keep": 2},
        },
    })
}

/// A directory with the data and `request` in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(request: &Value) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write("train.jsonl", &chat(0..40));
        place.write("valid.jsonl", &chat(50..58));
        place.write("spec.json", &request.to_string());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The command that trains into `out`.
    pub(crate) fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainyard-trainer"));
        command.arg("run").arg(self.path("spec.json")).arg("--out").arg(self.path(out));
        command.args(["--threads", "1"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Trains into `out` to whatever end.
    pub(crate) fn run(&self, out: &str, more: &[&str]) -> Ended {
        Running::start(self.command(out, more)).end()
    }

    /// The names in `out/checkpoints`, sorted.
    pub(crate) fn checkpoints(&self, out: &str) -> Vec<String> {
        names(&self.path(out).join("checkpoints"))
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A trainer at work.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    stdin: Option<ChildStdin>,
    events: Vec<TrainerEvent>,
}

/// How it ended: its exit code (none where a signal ended it), what it told, what it said to people.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<TrainerEvent>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdin = child.stdin.take();
        Self { child, lines, stdin, events: Vec::new() }
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<TrainerEvent> {
        let line = self.lines.next()?.ok()?;
        let event: TrainerEvent = serde_json::from_str(&line).expect(&line);
        self.events.push(event.clone());
        Some(event)
    }

    /// Reads events until `found`; whether it came.
    pub(crate) fn until(&mut self, found: impl Fn(&TrainerEvent) -> bool) -> bool {
        while let Some(event) = self.next() {
            if found(&event) {
                return true;
            }
        }
        false
    }

    /// Reads events until step `wanted` is done; whether it came.
    pub(crate) fn until_step(&mut self, wanted: u64) -> bool {
        self.until(|event| matches!(event, TrainerEvent::Step(step) if step.step >= wanted))
    }

    pub(crate) fn say(&mut self, command: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub(crate) fn end(mut self) -> Ended {
        while self.next().is_some() {}
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
        }
        let code = self.child.wait().unwrap().code();
        Ended { code, events: self.events, stderr }
    }
}

impl Ended {
    /// The numbers of the steps that were taken.
    pub(crate) fn steps(&self) -> Vec<u64> {
        let steps = self.events.iter();
        steps
            .filter_map(|event| match event {
                TrainerEvent::Step(step) => Some(step.step),
                _ => None,
            })
            .collect()
    }

    /// Code, message, param and `user` of the failure.
    pub(crate) fn failure(&self) -> (&str, &str, Option<&str>, bool) {
        match self.events.last() {
            Some(TrainerEvent::Failed { code, message, param, user }) => {
                (code, message, param.as_deref(), *user)
            }
            other => panic!("ended with {other:?}: {}", self.stderr),
        }
    }
}
