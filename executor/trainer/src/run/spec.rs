//! A create request as a file: what `trainyard-trainer run SPEC.json` takes, with paths in place of ids.

use std::io::{BufRead, ErrorKind, Read};
use std::path::{Path, PathBuf};

use trainyard_openapi::body;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::{PrivacyUnit, UserUnit};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_openapi::line::validator::FileValidator;
use trainyard_plan::trainer::RunSpec;
use trainyard_plan::{DataFacts, HostFacts, ModelFacts, StreamFacts, resolve};

use crate::device;
use crate::error::{Result, TrainerError};

/// The seed where the request names none: a run from a file can be repeated.
const SEED: u64 = 42;

/// Reads a run specification as the agent writes it.
///
/// # Errors
/// A user error where it is none.
pub fn read_run(path: &Path) -> Result<RunSpec> {
    let bytes = std::fs::read(path).map_err(TrainerError::io(path))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        TrainerError::request(ErrorCode::InvalidValue, None, message)
    })
}

/// Reads a create request and resolves it for this machine. `config` gives the model's `config.json` once its place is known.
///
/// # Errors
/// A user error naming the field.
pub fn read_request(path: &Path, config: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<RunSpec> {
    let bytes = std::fs::read(path).map_err(unreadable(path, None))?;
    let request: CreateJob = body::parse(&bytes)?;
    // Paths in the file are meant from where the file lies.
    let beside = |name: &str| path.parent().unwrap_or(Path::new(".")).join(name);
    let model = beside(&request.model);
    let training_file = beside(&request.training_file);
    let validation_file = request.validation_file.as_deref().map(beside);
    let config = config(&model)?;
    let json = std::fs::read(&config).map_err(TrainerError::io(&config))?;
    let json = serde_json::from_slice(&json).map_err(|error| {
        TrainerError::user(
            JobErrorCode::InvalidModel,
            None,
            format!("{}: {error}", config.display()),
        )
    })?;
    let facts = ModelFacts::from_config(&json)?;
    let examples =
        count_lines(&training_file).map_err(unreadable(&training_file, Some("training_file")))?;
    if let Some(file) = &validation_file {
        std::fs::File::open(file).map_err(unreadable(file, Some("validation_file")))?;
    }
    let host = host_facts();
    let users = count_users(&request, &training_file)?;
    let (data, stream) = (DataFacts { examples, users }, StreamFacts::default());
    let plan = resolve(&request, SEED, data, &stream, &facts, host)?;
    Ok(RunSpec {
        plan,
        model,
        model_name: request.model.clone(),
        training_file,
        validation_file,
        training_file_name: request.training_file,
        validation_file_name: request.validation_file,
        micro_batch_size: None,
        continual: None,
    })
}

/// A file that the user names and that is not there is the user's to mend; what the system refuses to read is not.
fn unreadable(path: &Path, param: Option<&str>) -> impl FnOnce(std::io::Error) -> TrainerError {
    let (path, param) = (path.to_path_buf(), param.map(ToString::to_string));
    move |error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            let message = format!("{}: {error}", path.display());
            TrainerError::user(JobErrorCode::FileNotFound, param, message)
        }
        _ => TrainerError::io(path)(error),
    }
}

/// Users whom the training file names, where the request protects users.
fn count_users(request: &CreateJob, training_file: &Path) -> Result<Option<u64>> {
    let privacy = request.trainyard.as_ref().and_then(|extension| extension.privacy.as_ref());
    let Some(PrivacyUnit::User(UserUnit { user_field, .. })) = privacy.map(|privacy| &privacy.unit)
    else {
        return Ok(None);
    };
    let mut file = std::fs::File::open(training_file).map_err(TrainerError::io(training_file))?;
    let mut validator = FileValidator::of_users(Some(user_field.clone()));
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(TrainerError::io(training_file))? {
            0 => return Ok(validator.finish().users),
            bytes => validator.push(&piece[..bytes]),
        }
    }
}

/// Lines that are not blank.
fn count_lines(path: &Path) -> std::io::Result<u64> {
    let file = std::fs::File::open(path)?;
    let mut lines = 0;
    for line in std::io::BufReader::new(file).split(b'\n') {
        let line = line?;
        lines += u64::from(!line.iter().all(u8::is_ascii_whitespace));
    }
    Ok(lines)
}

/// This machine as a plan sees it.
fn host_facts() -> HostFacts {
    match device::choose() {
        tch::Device::Cuda(_) => {
            HostFacts { cuda: true, fast_bf16: true, memory_bytes: memory_bytes() }
        }
        _ => HostFacts::of_this_processor(memory_bytes()),
    }
}

/// Memory of this machine, not what is free of it just now: a second attempt at a run must come to the same plan. A guess of 8 GiB where
/// the kernel says nothing.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    // A container's limit; "max" where there is none.
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let total = kib.unwrap_or(8 * 1024 * 1024) * 1024;
    limit.trim().parse().map_or(total, |limit: u64| limit.min(total))
}
