//! Plays faults on the service and says what became of its promises. Ends with 1 where one was broken.
#![allow(clippy::print_stdout, reason = "the report is what it is for")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trainyard_nemesis::fault::course;
use trainyard_nemesis::fleet::Options;
use trainyard_nemesis::mutant::MUTANTS;
use trainyard_nemesis::run::{Evil, Outcome, Scenario, play};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    /// What every choice follows from; drawn anew where it is not given.
    #[arg(long, global = true)]
    seed: Option<u64>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Faults of every kind.
    Faults {
        /// How many.
        #[arg(long, default_value_t = 60)]
        faults: usize,
        /// Jobs meanwhile.
        #[arg(long, default_value_t = 300)]
        jobs: u64,
    },
    /// Runs that are held past their lease and go on.
    Zombies {
        /// How many.
        #[arg(long, default_value_t = 50)]
        zombies: usize,
    },
    /// The service with a guard left out, one after the other: each has to be found.
    Mutants {
        /// This one alone.
        #[arg(long)]
        only: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { seed, command } = Arguments::parse();
    // The state of a new hasher is random.
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000_000);
    println!("seed {seed}");
    let clean = match command {
        Command::Faults { faults, jobs } => {
            let evil = Evil::Course(course(seed, faults));
            played(&scenario(seed, jobs, evil))
                .await
                .is_some_and(|outcome| outcome.report.is_clean())
        }
        Command::Zombies { zombies } => {
            let jobs = zombies as u64 * 2;
            let outcome = played(&scenario(seed, jobs, Evil::Zombies(zombies))).await;
            // Nothing fenced would mean that nothing was tried.
            outcome.is_some_and(|outcome| outcome.report.is_clean() && outcome.report.fenced > 0)
        }
        Command::Mutants { only } => {
            let mut survived = Vec::new();
            let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
            for mutant in MUTANTS.iter().filter(|mutant| wanted(mutant.name)) {
                println!("without {}", mutant.name);
                let outcome = played(&mutant.scenario(seed)).await;
                if outcome.is_none_or(|outcome| outcome.report.is_clean()) {
                    survived.push(mutant.name);
                }
            }
            println!("not found: {survived:?}");
            survived.is_empty()
        }
    };
    match clean {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn scenario(seed: u64, jobs: u64, evil: Evil) -> Scenario {
    let (epochs, max_length) = match evil {
        Evil::Course(_) => (6, 128),
        Evil::Zombies(_) => (6, 256),
    };
    Scenario { seed, jobs, epochs, max_length, evil, options: Options::default(), standstill: None }
}

/// Plays a scenario in a new directory, which is kept where a promise was broken.
async fn played(scenario: &Scenario) -> Option<Outcome> {
    let directory = tempfile::tempdir().ok()?;
    let outcome = play(directory.path(), scenario).await?;
    for (fault, count) in &outcome.done.faults {
        println!("  {fault:<24}{count:>4}");
    }
    println!("  {} that had nothing to happen to", outcome.done.failed);
    println!("  {} runs held past their lease", outcome.done.zombies);
    println!("  {} bytes that no fsync had covered", outcome.done.unsynced);
    println!("{}in {:.0} s", outcome.report, outcome.took.as_secs_f64());
    if !outcome.report.is_clean() {
        println!("logs and ledger: {}", directory.keep().display());
    }
    Some(outcome)
}
