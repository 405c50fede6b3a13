//! Plays faults on the service and says what became of its promises. Ends with 1 where one was broken.
#![allow(clippy::print_stdout, reason = "the report is what it is for")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trainyard_nemesis::mutant::MUTANTS;
use trainyard_nemesis::run::{Outcome, Scenario, play};

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
        Command::Faults { faults, jobs } => played(&Scenario::faults(seed, faults, jobs))
            .await
            .is_some_and(|outcome| outcome.report.is_clean()),
        Command::Zombies { zombies } => {
            let outcome = played(&Scenario::zombies(seed, zombies)).await;
            // Nothing fenced would mean that nothing was tried.
            outcome.is_some_and(|outcome| {
                let Outcome { done, report, .. } = outcome;
                report.is_clean() && report.fenced > 0 && done.zombies >= zombies
            })
        }
        Command::Mutants { only } => {
            let mut wrong = Vec::new();
            let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
            for mutant in MUTANTS.iter().filter(|mutant| wanted(mutant.name)) {
                println!("what shows '{}', with every guard", mutant.name);
                let outcome = played(&mutant.control(seed)).await;
                if !outcome.is_some_and(|outcome| outcome.report.is_clean()) {
                    wrong.push(format!("{}, found where it is not", mutant.name));
                }
                println!("without {}", mutant.name);
                let outcome = played(&mutant.scenario(seed)).await;
                if outcome.is_none_or(|outcome| outcome.report.is_clean()) {
                    wrong.push(format!("{}, not found", mutant.name));
                }
            }
            println!("wrong: {wrong:?}");
            wrong.is_empty()
        }
    };
    match clean {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Plays a scenario in a new directory, which is kept where a promise was broken.
async fn played(scenario: &Scenario) -> Option<Outcome> {
    let directory = tempfile::tempdir().ok()?;
    let outcome = play(directory.path(), scenario).await?;
    for (fault, count) in &outcome.done.faults {
        println!("  {fault:<32}{count:>4}");
    }
    println!("  {} that had nothing to happen to", outcome.done.failed);
    println!("  {} runs that went on after their lease", outcome.done.zombies);
    println!("  {} bytes that no fsync had covered", outcome.done.unsynced);
    println!("{}in {:.0} s", outcome.report, outcome.took.as_secs_f64());
    if !outcome.report.is_clean() {
        println!("logs and ledger: {}", directory.keep().display());
    }
    Some(outcome)
}
