//! GGUF import: container, tensors, tokenizer, and the directory that is written.

use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::data::ChatTokenizer;
use trainyard_trainer::import::{ImportOptions, import};
use trainyard_trainer::weights::WeightSource;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

/// Imports `bytes`, then reads what was written as a job would.
///
/// # Panics
/// Where an import that succeeded wrote weights that cannot be read, or left something behind after it failed.
pub fn run(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, out) = (dir.path().join("model.gguf"), dir.path().join("out"));
    std::fs::write(&file, bytes).expect("written");
    match import(&file, &out, ImportOptions::default(), &mut |_| {}) {
        Err(error) => {
            assert!(!out.exists(), "half a model was left: {error}");
            let said = error.to_string();
            assert!(said.len() <= 5_000, "{} bytes: {said}", said.len());
        }
        Ok(report) => {
            let source = SafetensorsSource::open_dir(&out).expect("the weights");
            assert_eq!(source.names().len(), report.tensors);
            // A configuration may be refused by the trainer, in words.
            if let Ok(config) = ModelConfig::read(&out.join("config.json")) {
                let _ = ChatTokenizer::load(&out, &config);
            }
        }
    }
}
