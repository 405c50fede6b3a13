//! A create request as a file: what `trainyard-trainer run SPEC.json` takes, with paths in place of ids.

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read};
use std::path::{Path, PathBuf};

use trainyard_openapi::body;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::{NewStage, PrivacyUnit, UserUnit};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_openapi::line::validator::FileValidator;
use trainyard_plan::trainer::{ContinualFiles, NamedFile, RunSpec, StageFiles};
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
    let stream = StreamFacts { stage_examples: stage_examples(&request, &beside)?, parent: None };
    let data = DataFacts { examples, users };
    let plan = resolve(&request, SEED, data, &stream, &facts, host)?;
    let continual = plan.continual.as_ref().map(|plan| ContinualFiles {
        stages: plan.stages.iter().map(|stage| stage_files(stage, &beside)).collect(),
        held_out: plan.held_out_file.as_deref().map(|name| named(name, &beside)),
        parent: None,
        earlier: BTreeMap::new(),
    });
    Ok(RunSpec {
        plan,
        model,
        model_name: request.model.clone(),
        training_file,
        validation_file,
        training_file_name: request.training_file,
        validation_file_name: request.validation_file,
        micro_batch_size: None,
        continual,
    })
}

/// Lines that are not blank of each stage's training file; the other files of stages are there.
fn stage_examples(request: &CreateJob, beside: &dyn Fn(&str) -> PathBuf) -> Result<Vec<u64>> {
    let mut examples = Vec::new();
    let continual = request.trainyard.as_ref().and_then(|own| own.continual.as_ref());
    let Some(continual) = continual else { return Ok(examples) };
    for (place, stage) in continual.stages.iter().flatten().enumerate() {
        let field = |name: &str| format!("trainyard.continual.stages[{place}].{name}");
        let path = beside(&stage.training_file);
        let lines = count_lines(&path).map_err(unreadable(&path, Some(&field("training_file"))))?;
        examples.push(lines);
        if let Some(path) = stage.validation_file.as_deref().map(beside) {
            let field = field("validation_file");
            std::fs::File::open(&path).map_err(unreadable(&path, Some(&field)))?;
        }
    }
    if let Some(path) = continual.held_out_file.as_deref().map(beside) {
        let field = Some("trainyard.continual.held_out_file");
        std::fs::File::open(&path).map_err(unreadable(&path, field))?;
    }
    Ok(examples)
}

fn stage_files(stage: &NewStage, beside: &dyn Fn(&str) -> PathBuf) -> StageFiles {
    StageFiles {
        training: named(&stage.training_file, beside),
        validation: stage.validation_file.as_deref().map(|name| named(name, beside)),
    }
}

fn named(name: &str, beside: &dyn Fn(&str) -> PathBuf) -> NamedFile {
    NamedFile { path: beside(name), name: name.to_string() }
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
        _ => HostFacts::of_processor(&device::processor(), memory_bytes()),
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
