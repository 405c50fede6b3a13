//! What stands in for training: a chain of hashes over a job and its steps. A step that was skipped, done twice or taken from
//! another job changes everything after it, so the last hash says whether the history of a result is the one it should be.

use sha2::{Digest, Sha256};

/// The file of a result that says in which directory it was made: the agent's, which ends in the job and the claim's number.
pub const ORIGIN: &str = "origin.txt";

/// The state after a step: `SHA-256(state before, seed, step)`.
pub type State = [u8; 32];

/// The state before the first step. The seed is the job's own; no two jobs of a run share one.
pub fn begin(seed: u64, data_sha256: &str) -> State {
    let mut hash = Sha256::new();
    hash.update(b"chain");
    hash.update(seed.to_le_bytes());
    hash.update(data_sha256.as_bytes());
    hash.finalize().into()
}

/// The state after `step`, which is counted from 1.
pub fn next(state: &State, seed: u64, step: u64) -> State {
    let mut hash = Sha256::new();
    hash.update(state);
    hash.update(seed.to_le_bytes());
    hash.update(step.to_le_bytes());
    hash.finalize().into()
}

/// The state at the end of a run of `steps` that was never interrupted.
pub fn whole(seed: u64, data_sha256: &str, steps: u64) -> State {
    (1..=steps).fold(begin(seed, data_sha256), |state, step| next(&state, seed, step))
}

/// Optimizer steps of a run over `lines` lines.
pub fn steps(lines: u64, epochs: u32, batch_size: u32) -> u64 {
    lines.div_ceil(u64::from(batch_size.max(1))) * u64::from(epochs)
}

/// A state as a file of tensors in the format of safetensors: an 8-byte length, a JSON header, the bytes.
pub fn adapter(state: &State) -> Vec<u8> {
    let header = r#"{"chain":{"dtype":"U8","shape":[32],"data_offsets":[0,32]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(state);
    bytes
}

/// The state in such a file.
pub fn state_of(adapter: &[u8]) -> Option<State> {
    let at = adapter.len().checked_sub(32)?;
    adapter[at..].try_into().ok()
}

/// The number of the claim under which a result was made, from its [`ORIGIN`]: `…/ftjob-…-e3/out`.
pub fn claim_of(origin: &str) -> Option<u64> {
    let run = origin.trim_end_matches('/').rsplit('/').nth(1)?;
    run.rsplit_once("-e")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_skipped_repeated_or_foreign_step_shows_in_the_end() {
        let right = whole(7, "data", 20);
        let from = |state: State, steps: &[u64]| {
            steps.iter().fold(state, |state, step| next(&state, 7, *step))
        };
        let all: Vec<u64> = (1..=20).collect();
        assert_eq!(from(begin(7, "data"), &all), right);
        let skipped: Vec<u64> = all.iter().copied().filter(|step| *step != 9).collect();
        assert_ne!(from(begin(7, "data"), &skipped), right);
        let mut repeated = all.clone();
        repeated.insert(9, 9);
        assert_ne!(from(begin(7, "data"), &repeated), right);
        let foreign = next(&whole(7, "data", 8), 8, 9);
        assert_ne!(from(foreign, &all[9..]), right);
        assert_ne!(whole(7, "other data", 20), right);
    }

    #[test]
    fn a_result_says_whose_it_is_and_what_it_holds() {
        assert_eq!(claim_of("/a-e9/runs/ftjob-x-e12/out"), Some(12));
        assert_eq!(claim_of("out"), None);
        let state = whole(3, "data", 5);
        assert_eq!(state_of(&adapter(&state)), Some(state));
        assert_eq!(state_of(b"short"), None);
    }

    #[test]
    fn the_last_batch_of_an_epoch_may_be_smaller() {
        assert_eq!(steps(10, 3, 4), 9);
        assert_eq!(steps(8, 1, 4), 2);
    }
}
