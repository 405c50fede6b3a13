//! Files that the generators in `tests/golden/gen` made.

use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::arch::{CausalLm, ModelBatch};
use trainyard_trainer::data::Sequences;
use trainyard_trainer::weights::WeightSource;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

pub(crate) fn path(name: &str) -> PathBuf {
    // Tests run in the package's directory, on whatever machine their binary was carried to.
    PathBuf::from("tests/golden").join(name)
}

pub(crate) fn tensor(file: &str, name: &str) -> Tensor {
    let source = SafetensorsSource::open_file(&path(file)).unwrap();
    source.tensor(name).unwrap().expect(name)
}

pub(crate) fn model(name: &str) -> CausalLm {
    model_on(name, Device::Cpu, Kind::Float)
}

pub(crate) fn model_on(name: &str, device: Device, kind: Kind) -> CausalLm {
    let dir = path("models").join(name);
    let config = ModelConfig::read(&dir.join("config.json")).unwrap();
    let source = SafetensorsSource::open_dir(&dir).unwrap();
    CausalLm::load(&source, &config, device, kind).unwrap()
}

/// Rows of full length, every token a target.
pub(crate) fn batch(input_ids: &Tensor, labels: &Tensor) -> ModelBatch {
    batch_on(Device::Cpu, input_ids, labels)
}

/// The same on `device`.
pub(crate) fn batch_on(device: Device, input_ids: &Tensor, labels: &Tensor) -> ModelBatch {
    let (b, t) = input_ids.size2().unwrap();
    let position_ids = Tensor::arange(t, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    let sequences = Sequences::whole(b as usize, t as usize);
    ModelBatch::new(input_ids, labels, &position_ids, sequences, device).unwrap()
}

pub(crate) fn max_difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}
