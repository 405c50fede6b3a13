//! A trainer that hashes: it speaks the trainer's protocol (`trainyard_plan::trainer`), writes checkpoints and results as the
//! engine does, and takes `sequence.max_length / 8` milliseconds for a step.
#![allow(clippy::print_stdout, reason = "events go to standard output: that is the protocol")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Error, Result, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trainyard_nemesis::chain;
use trainyard_plan::trainer::{
    CheckpointWritten, Finished, Manifest, ManifestEntry, RunSpec, Started, Step, TrainerCommand,
    TrainerEvent, exit,
};

const STATE: &str = "state.json";
const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "adapter_model.safetensors";

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One job, from its newest checkpoint on.
    Run {
        /// The run specification.
        #[arg(long)]
        plan: PathBuf,
        /// Where checkpoints and the result go.
        #[arg(long)]
        out: PathBuf,
        /// Only `auto`: from the newest checkpoint in `out`.
        #[arg(long)]
        resume: String,
        /// Only `stdin`: commands come on standard input.
        #[arg(long)]
        control: String,
        /// Taken and of no effect: one thread hashes.
        #[arg(long)]
        threads: Option<u32>,
    },
}

/// What a checkpoint holds.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    step: u64,
    state: String,
}

fn main() -> ExitCode {
    let Command::Run { plan, out, resume, control, threads: _ } = Arguments::parse().command;
    let refused = resume != "auto" || control != "stdin";
    let ended = match refused {
        true => Err(Error::other("only --resume auto and --control stdin are known")),
        false => Run::prepare(&plan, out).and_then(Run::train),
    };
    let code = ended.unwrap_or_else(|error| {
        let failed = TrainerEvent::Failed {
            code: "internal_error".to_string(),
            message: error.to_string(),
            param: None,
            user: false,
        };
        // Who does not listen any more cannot be told.
        let _ = tell(&failed);
        exit::INTERNAL
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// A run between two steps.
struct Run {
    spec: RunSpec,
    plan_sha256: String,
    data_sha256: String,
    out: PathBuf,
    step: u64,
    steps: u64,
    state: chain::State,
    pause: Duration,
    begun: Instant,
}

impl Run {
    fn prepare(plan: &Path, out: PathBuf) -> Result<Self> {
        let begun = Instant::now();
        let spec: RunSpec = serde_json::from_slice(&fs::read(plan)?)?;
        let data = fs::read(&spec.training_file)?;
        let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let data_sha256 = sha256(&data);
        let steps = chain::steps(lines as u64, spec.plan.epochs, spec.plan.batch_size);
        let plan_sha256 = sha256(&serde_json::to_vec(&spec.plan)?);
        let resumed = newest(&out.join("checkpoints"), &plan_sha256)?;
        let (step, state) = match resumed {
            Some(checkpoint) => {
                let state = hex::decode(&checkpoint.state).map_err(Error::other)?;
                let state = state.try_into().map_err(|_| Error::other("a state has 32 bytes"))?;
                (checkpoint.step, state)
            }
            None => (0, chain::begin(spec.plan.seed, &data_sha256)),
        };
        let pause = Duration::from_millis(u64::from(spec.plan.sequence.max_length / 8));
        let run = Self { spec, plan_sha256, data_sha256, out, step, steps, state, pause, begun };
        let started = Started {
            device: "cpu".to_string(),
            parameters: 32,
            trainable_parameters: 32,
            total_steps: steps,
            resumed_from_step: step,
            packing: false,
            data_report: BTreeMap::from([("rows".to_string(), lines as u64)]),
            validation_report: None,
            training_data_sha256: run.data_sha256.clone(),
        };
        tell(&TrainerEvent::Started(started))?;
        Ok(run)
    }

    /// Steps until the end or until told otherwise; gives the exit code.
    fn train(mut self) -> Result<i32> {
        let commands = commands();
        let every = self.spec.plan.checkpoint.every_steps.map_or(u64::MAX, u64::from);
        while self.step < self.steps {
            match commands.try_recv() {
                Ok(TrainerCommand::Cancel) => {
                    tell(&TrainerEvent::Cancelled { step: self.step })?;
                    return Ok(exit::CANCELLED);
                }
                Ok(TrainerCommand::Stop) => {
                    self.checkpoint()?;
                    tell(&TrainerEvent::Stopped { step: self.step })?;
                    return Ok(exit::STOPPED);
                }
                Ok(TrainerCommand::Checkpoint) => self.checkpoint()?,
                // It reserves nothing: a private job is not its to run.
                Ok(TrainerCommand::Reserved { .. }) | Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(Error::other("the agent is gone")),
            }
            std::thread::sleep(self.pause);
            self.step += 1;
            self.state = chain::next(&self.state, self.spec.plan.seed, self.step);
            tell(&TrainerEvent::Step(self.report()))?;
            if self.step.is_multiple_of(every) && self.step < self.steps {
                self.checkpoint()?;
            }
        }
        self.finish()?;
        Ok(exit::DONE)
    }

    fn report(&self) -> Step {
        Step {
            step: self.step,
            total_steps: self.steps,
            epoch: self.step as f64 * f64::from(self.spec.plan.epochs) / self.steps as f64,
            train_loss: Some(1.0 / self.step as f64),
            train_mean_token_accuracy: Some(0.0),
            learning_rate: self.spec.plan.optimizer.learning_rate,
            grad_norm: 0.0,
            tokens: self.step,
            target_tokens: self.step,
            tokens_per_second: 0.0,
            eta_seconds: self.pause.as_secs_f64() * (self.steps - self.step) as f64,
            training_seconds: self.begun.elapsed().as_secs_f64(),
            accelerator_memory_bytes: None,
        }
    }

    fn checkpoint(&self) -> Result<()> {
        let directory = PathBuf::from("checkpoints").join(format!("step-{:06}", self.step));
        let checkpoint = Checkpoint { step: self.step, state: hex::encode(self.state) };
        let json = serde_json::to_vec(&checkpoint)?;
        let manifest_sha256 = self.write(&directory, &[(STATE, json)])?;
        tell(&TrainerEvent::Checkpoint(CheckpointWritten {
            step: self.step,
            directory,
            manifest_sha256,
            stage: None,
            train_loss: None,
            train_mean_token_accuracy: None,
            valid_loss: None,
            valid_mean_token_accuracy: None,
        }))
    }

    fn finish(&self) -> Result<()> {
        let weights = chain::adapter(&self.state);
        let adapter_sha256 = sha256(&weights);
        let csv = format!("step,train_loss\n{},{}\n", self.steps, 1.0 / self.steps as f64);
        // Where it ran names the claim that it ran under, so that a result shows whose it is.
        let origin = self.out.display().to_string();
        let files = [
            (WEIGHTS, weights),
            ("metrics.csv", csv.into_bytes()),
            (chain::ORIGIN, origin.into_bytes()),
        ];
        let directory = PathBuf::from("adapter");
        let manifest_sha256 = self.write(&directory, &files)?;
        tell(&TrainerEvent::Finished(Finished {
            directory,
            manifest_sha256,
            adapter_sha256,
            steps: self.steps,
            stopped_early: false,
            micro_batch_size: None,
            train_loss: None,
            initial_valid_loss: None,
            valid_loss: None,
            valid_mean_token_accuracy: None,
            tokens: self.steps,
            target_tokens: self.steps,
            training_seconds: self.begun.elapsed().as_secs_f64(),
            privacy: None,
            signal_to_noise: None,
            continual: None,
        }))
    }

    /// Writes files and, last, their manifest into a directory of `out`, which appears whole; gives the manifest's SHA-256.
    fn write(&self, directory: &Path, files: &[(&str, Vec<u8>)]) -> Result<String> {
        let target = self.out.join(directory);
        let partial = target.with_extension("partial");
        fs::create_dir_all(&partial)?;
        let mut entries = BTreeMap::new();
        for (name, bytes) in files {
            fs::write(partial.join(name), bytes)?;
            let entry = ManifestEntry { bytes: bytes.len() as u64, sha256: sha256(bytes) };
            entries.insert((*name).to_string(), entry);
        }
        let plan_sha256 = self.plan_sha256.clone();
        let manifest = Manifest { step: self.step, plan_sha256, files: entries };
        let json = serde_json::to_vec_pretty(&manifest)?;
        fs::write(partial.join(MANIFEST), &json)?;
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        fs::rename(&partial, &target)?;
        Ok(sha256(&json))
    }
}

/// The checkpoint of the latest step, held to its manifest and to the plan.
fn newest(directory: &Path, plan_sha256: &str) -> Result<Option<Checkpoint>> {
    if !directory.exists() {
        return Ok(None);
    }
    let mut found: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.retain(|path| path.join(MANIFEST).is_file());
    let Some(path) = found.into_iter().max() else { return Ok(None) };
    let manifest: Manifest = serde_json::from_slice(&fs::read(path.join(MANIFEST))?)?;
    let state = fs::read(path.join(STATE))?;
    let as_said = manifest.files.get(STATE).is_some_and(|entry| entry.sha256 == sha256(&state));
    let checkpoint: Checkpoint = serde_json::from_slice(&state)?;
    if !as_said || manifest.plan_sha256 != plan_sha256 || manifest.step != checkpoint.step {
        return Err(Error::other(format!("{} is no checkpoint of this plan", path.display())));
    }
    Ok(Some(checkpoint))
}

fn commands() -> Receiver<TrainerCommand> {
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            // What is no command is not obeyed; the agent writes none.
            let Ok(command) = serde_json::from_str(&line) else { continue };
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    commands
}

fn tell(event: &TrainerEvent) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
