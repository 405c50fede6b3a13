//! What an earlier process left in the work directory: inputs and outputs of runs that it did not live to clear away. Its runs are
//! over, and nobody else comes for their files, which are people's data.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use trainyard_openapi::id::{JobId, Nonce};

/// Removes the directories of runs and looks below `work_dir`, which belongs to this process alone. Anything else stays.
pub(crate) fn clear(work_dir: &Path) {
    if let Err(error) = try_clear(work_dir) {
        tracing::warn!(path = %work_dir.display(), %error, "what an earlier process left was not removed");
    }
}

fn try_clear(work_dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(work_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_ours) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a directory has the name of a run (`{job}-e{epoch}`) or of a look (`inspect-{nonce}`).
fn is_ours(name: &str) -> bool {
    let run = name
        .rsplit_once("-e")
        .is_some_and(|(job, epoch)| job.parse::<JobId>().is_ok() && epoch.parse::<u64>().is_ok());
    run || name.strip_prefix("inspect-").is_some_and(|nonce| nonce.parse::<Nonce>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_runs_and_looks_go() {
        let root = tempfile::tempdir().unwrap();
        let job = JobId::generate().unwrap();
        let ours = [format!("{job}-e3"), format!("inspect-{}", Nonce::generate().unwrap())];
        let others = ["notes".to_string(), format!("{job}"), format!("{job}-e"), "inspect-".into()];
        for name in ours.iter().chain(&others) {
            fs::create_dir_all(root.path().join(name).join("inputs")).unwrap();
            fs::write(root.path().join(name).join("inputs/training.jsonl"), "a line").unwrap();
        }
        clear(root.path());
        clear(&root.path().join("nowhere"));
        assert!(ours.iter().all(|name| !root.path().join(name).exists()));
        assert!(others.iter().all(|name| root.path().join(name).join("inputs").exists()));
    }
}
