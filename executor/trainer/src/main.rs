//! `trainyard-trainer`: trains one job, imports a model, or measures a step.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use trainyard_openapi::error::ErrorCode;
use trainyard_plan::trainer::{TrainerCommand, TrainerEvent, exit};
use trainyard_trainer::bench;
use trainyard_trainer::cli::{Cli, Command, ControlSource, ImportArgs, InspectArgs, RunArgs};
use trainyard_trainer::device;
use trainyard_trainer::error::{Result, TrainerError};
use trainyard_trainer::import::{self, ImportOptions};
use trainyard_trainer::run::events::Events;
use trainyard_trainer::run::output::OutputDir;
use trainyard_trainer::run::{self, Resume, base, spec};
use trainyard_trainer::train::control::Control;
use trainyard_trainer::train::session::Ending;

fn main() -> ExitCode {
    device::keep_freed_memory();
    let code = match Cli::parse().command {
        Command::Run(args) => run_job(&args),
        Command::Inspect(args) => report(inspect_run(&args)),
        Command::Import(args) => report(import_model(&args)),
        Command::BenchStep(args) => {
            report(bench::step::bench_step(&args).and_then(|figures| say(&figures.to_string())))
        }
        Command::BenchRoofline(args) => report(
            bench::roofline::bench_roofline(&args).and_then(|figures| say(&figures.to_string())),
        ),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn run_job(args: &RunArgs) -> i32 {
    let human = (!args.quiet && args.control.is_none())
        .then(|| Box::new(std::io::stderr()) as Box<dyn Write + Send>);
    let stdout: Box<dyn Write + Send> = match std::io::stdout().is_terminal() && human.is_some() {
        // A person at a terminal reads the words, not the JSON.
        true => Box::new(std::io::sink()),
        false => Box::new(std::io::stdout()),
    };
    let events = Events::new(stdout, human);
    let control = Arc::new(Control::default());
    let outcome = watch_signals(&control).and_then(|()| {
        if let Some(ControlSource::Stdin) = args.control {
            obey_stdin(&control);
        }
        let resume = match args.resume.as_str() {
            "auto" => Resume::Auto,
            "never" => Resume::Never,
            directory => Resume::From(directory.into()),
        };
        let out = OutputDir::open(&args.out)?;
        let spec = read_spec(args, &out, &events)?;
        let asks = args.control.is_some();
        run::run(&spec, &out, &resume, args.threads, asks, &control, &events)
    });
    match outcome {
        Ok(Ending::Done) => exit::DONE,
        Ok(Ending::Stopped) => exit::STOPPED,
        Ok(Ending::Cancelled) => exit::CANCELLED,
        Err(error) => {
            let failed = TrainerEvent::Failed {
                code: error.code().to_string(),
                message: error.to_string(),
                param: error.param().map(ToString::to_string),
                user: error.is_user(),
            };
            // Where nobody hears it, the exit code still tells.
            let _ = events.emit(&failed);
            if error.is_user() { exit::USER } else { exit::INTERNAL }
        }
    }
}

fn read_spec(
    args: &RunArgs,
    out: &OutputDir,
    events: &Events,
) -> Result<trainyard_plan::trainer::RunSpec> {
    match (&args.plan, &args.spec) {
        (Some(plan), _) => spec::read_run(plan),
        (None, Some(path)) => spec::read_request(path, |model: &Path| {
            Ok(base::open(model, out, events)?.dir.join("config.json"))
        }),
        (None, None) => {
            Err(TrainerError::request(ErrorCode::MissingField, None, "SPEC or --plan is needed"))
        }
    }
}

/// SIGTERM and SIGINT ask for a checkpoint and an end; a second one of them ends at once.
fn watch_signals(control: &Arc<Control>) -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    // Blocked here, before any other thread is there, so that the thread below alone receives them.
    signals.thread_block().map_err(|errno| TrainerError::io("signals")(errno.into()))?;
    let control = Arc::clone(control);
    std::thread::spawn(move || {
        for count in 0.. {
            if signals.wait().is_err() {
                return;
            }
            if count > 0 {
                end_at_once(exit::CANCELLED);
            }
            control.stop();
        }
    });
    Ok(())
}

/// Commands from the agent. The end of the input means that the agent is gone: nobody would take the result.
fn obey_stdin(control: &Arc<Control>) {
    let control = Arc::clone(control);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(TrainerCommand::Cancel) => control.cancel(),
                Ok(TrainerCommand::Stop) => control.stop(),
                Ok(TrainerCommand::Checkpoint) => control.checkpoint(),
                Ok(TrainerCommand::Reserved { until, spent }) => control.reserved(until, spent),
                Err(_) => {
                    let _ = writeln!(std::io::stderr(), "unknown command: {line}");
                }
            }
        }
        end_at_once(exit::INTERNAL);
    });
}

/// Ends the process without its exit handlers: libtorch's would take apart what another thread is computing with.
fn end_at_once(code: i32) -> ! {
    // SAFETY: _exit runs nothing of this process. Files are only ever published whole, so nothing is lost that counts.
    unsafe { libc::_exit(code) }
}

fn import_model(args: &ImportArgs) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let mut progress = |progress: import::ImportProgress| {
        if terminal {
            let _ = write!(std::io::stderr(), "\rtensor {}/{}", progress.done, progress.total);
        }
    };
    let report = import::import(
        &args.gguf,
        &args.out,
        ImportOptions { kind: args.precision.kind() },
        &mut progress,
    )?;
    if terminal {
        let _ = writeln!(std::io::stderr());
    }
    say(&format!(
        "{}: {} model, {} tensors, {:.1} M parameters, vocabulary of {}{}",
        args.out.display(),
        report.model_type,
        report.tensors,
        report.parameters as f64 / 1e6,
        report.vocab_size,
        if report.chat_template { ", with chat template" } else { ", no chat template" }
    ))
}

fn inspect_run(args: &InspectArgs) -> Result<()> {
    let inspection = run::inspect::inspect(&spec::read_run(&args.plan)?, args.threads)?;
    let json = serde_json::to_string(&inspection);
    say(&json.map_err(|error| TrainerError::io("standard output")(error.into()))?)
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(TrainerError::io("standard output"))
}

fn report(outcome: Result<()>) -> i32 {
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            if error.is_user() { exit::USER } else { exit::INTERNAL }
        }
    }
}
