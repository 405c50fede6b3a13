//! Checks the protocol and each broken variant of it, and prints what was found: `trainyard-model-check [FAULTS] [--ways]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use trainyard_model_check::{Variant, check};

/// At this number the protocol has more than half a million states, and every broken variant shows its flaw.
const FAULTS: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ways = arguments.iter().any(|argument| argument == "--ways");
    let given = arguments.iter().find(|argument| !argument.starts_with('-'));
    let Ok(faults) = given.map_or(Ok(FAULTS), |faults| faults.parse()) else {
        eprintln!(
            "usage: trainyard-model-check [FAULTS] [--ways]   (FAULTS: 0 to 255, {FAULTS} unless told)"
        );
        return ExitCode::from(2);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("one job, two executors, at most {faults} faults\n");
    println!("{:<18} {:>10} {:>8}  found", "variant", "states", "seconds");
    let mut good = true;
    for variant in Variant::ALL {
        let report = check(variant, faults, threads);
        let found = if report.violated.is_empty() {
            "no violation".to_string()
        } else {
            format!("violated: {}", report.violated.join(", "))
        };
        let verdict = if report.is_as_expected() { "" } else { "  <- NOT AS EXPECTED" };
        good &= report.is_as_expected();
        println!(
            "{:<18} {:>10} {:>8.1}  {found}{verdict}",
            format!("{variant:?}"),
            report.states,
            report.took.as_secs_f64()
        );
        if ways || !report.is_as_expected() {
            println!("{}", report.ways.join("\n"));
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
