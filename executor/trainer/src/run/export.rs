//! The result: checked first, then written whole, the manifest last, and only then under its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use trainyard_plan::trainer::{Finished, RunSpec, Stage};

use crate::artifact::{card, directory, integrity, manifest};
use crate::continual::artifacts;
use crate::continual::stream::Stream;
use crate::data::ChatTokenizer;
use crate::data::tokenizer::TOKENIZER_FILES;
use crate::error::{Result, TrainerError};
use crate::run::output::OutputDir;
use crate::run::tensors::to_device;
use crate::train::history;
use crate::train::session::Session;
use crate::weights::writer;

/// Writes the adapter or the model of a finished session.
///
/// # Errors
/// `integrity_check_failed` where the adapter is not what it should be; then nothing is left under its name.
pub fn export(
    session: &mut Session<'_>,
    spec: &RunSpec,
    stream: Option<&Stream<'_>>,
    tokenizer: &ChatTokenizer,
    reports: &[(&str, BTreeMap<String, u64>)],
    out: &OutputDir,
) -> Result<Finished> {
    let adapter = session.adapter.clone();
    let working = || session.events.working(Stage::Exporting);
    working()?;
    // As they were measured: a whole model is handed back in the format that it was computed in.
    let parameters = session.optimizer.computed()?;
    integrity::check_parameters(&adapter, &parameters)?;
    let target = out.adapter();
    let partial = directory::prepare(&target)?;
    adapter.write(&partial, &parameters)?;
    drop(parameters);
    let sample = to_device(&session.training.batch(&[0], session.pad), session.model.device())?;
    working()?;
    let described = (&adapter, session.plan.seed);
    integrity::check_reload(&mut session.model, described, &partial, &sample)?;

    session.events.working(Stage::Exporting)?;
    for name in TOKENIZER_FILES {
        let source = tokenizer.dir.join(name);
        if source.is_file() {
            let bytes = fs::read(&source).map_err(TrainerError::io(&source))?;
            writer::write_durably(&partial.join(name), &bytes)?;
        }
    }
    let (adapter_sha256, _) = manifest::hash_file(&partial.join(adapter.weights()))?;
    let state = &session.state;
    let continual = match stream {
        Some(stream) => {
            artifacts::write(&partial, stream, session)?;
            Some(stream.result(session)?)
        }
        None => None,
    };
    let section = continual.as_ref().map(artifacts::section);
    let text = card::render(spec, &adapter, state, reports, &adapter_sha256, section.as_deref());
    writer::write_durably(&partial.join("README.md"), text.as_bytes())?;
    writer::write_durably(
        &partial.join("metrics.csv"),
        history::to_csv(&state.history).as_bytes(),
    )?;
    let manifest_sha256 = manifest::write(&partial, state.step, &state.binding.plan)?;
    directory::publish(&partial, &target)?;

    let epoch_rows = state.history.iter().rev().take(session.sampler.steps_per_epoch() as usize);
    let losses: Vec<f64> = epoch_rows.filter_map(|row| row.train_loss).collect();
    Ok(Finished {
        directory: target.file_name().map(PathBuf::from).unwrap_or_default(),
        manifest_sha256,
        adapter_sha256,
        steps: state.step,
        stopped_early: state.stopped_early,
        micro_batch_size: Some(session.micro_batch_size),
        train_loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        initial_valid_loss: state.initial_valid_loss,
        valid_loss: state.last_evaluation.map(|measured| measured.loss),
        valid_mean_token_accuracy: state.last_evaluation.map(|measured| measured.accuracy),
        tokens: state.tokens,
        target_tokens: state.target_tokens,
        training_seconds: state.training_seconds,
        privacy: state.privacy.and_then(|private| private.spent),
        signal_to_noise: state.signal_to_noise(),
        continual,
    })
}
