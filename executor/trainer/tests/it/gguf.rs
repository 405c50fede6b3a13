//! GGUF import: blocks as the gguf package reads them, a whole model, and files that somebody broke.

use std::path::Path;

use tch::Kind;
use trainyard_trainer::arch::CausalLm;
use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::data::ChatTokenizer;
use trainyard_trainer::import::blocks::BlockType;
use trainyard_trainer::import::gguf::GgufFile;
use trainyard_trainer::import::{ImportOptions, import};
use trainyard_trainer::weights::safetensors::SafetensorsSource;

use crate::golden;

#[test]
fn blocks_equal_the_gguf_package() {
    for (name, kind) in [
        ("Q4_0", BlockType::Q4_0),
        ("Q4_1", BlockType::Q4_1),
        ("Q8_0", BlockType::Q8_0),
        ("Q4_K", BlockType::Q4K),
        ("Q6_K", BlockType::Q6K),
    ] {
        let bytes = golden::tensor("gguf/blocks.safetensors", &format!("{name}.bytes"));
        let bytes: Vec<u8> = Vec::try_from(bytes.view(-1)).unwrap();
        let expected = golden::tensor("gguf/blocks.safetensors", &format!("{name}.values"));
        let expected: Vec<f32> = Vec::try_from(expected).unwrap();
        let seen = kind.dequantize(&bytes);
        assert_eq!(seen.len(), expected.len(), "{name}");
        for (index, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
            let difference = (seen - expected).abs();
            assert!(
                difference <= 1e-6 * expected.abs().max(1.0),
                "{name}[{index}]: {seen} {expected}"
            );
        }
    }
    assert_eq!(BlockType::F16.dequantize(&[0x00, 0x3c, 0x00, 0xc0]), [1.0, -2.0]);
    assert_eq!(BlockType::Bf16.dequantize(&[0x80, 0x3f, 0x20, 0x40]), [1.0, 2.5]);
    assert_eq!(BlockType::from_id(13), Err("Q5_K".to_string()));
}

#[test]
fn an_imported_model_is_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model");
    let mut seen = 0;
    let options = ImportOptions { kind: Kind::Float };
    let gguf = golden::path("gguf/tiny.gguf");
    let report = import(&gguf, &out, options, &mut |progress| seen = progress.done).unwrap();
    assert_eq!(
        (report.model_type.as_str(), report.vocab_size, report.chat_template),
        ("llama", 96, true)
    );
    assert_eq!(seen, report.tensors);
    let config = ModelConfig::read(&out.join("config.json")).unwrap();
    let source = SafetensorsSource::open_dir(&out).unwrap();
    let model = CausalLm::load(&source, &config, tch::Device::Cpu, Kind::Float).unwrap();
    let input_ids = golden::tensor("models/llama/expected.safetensors", "input_ids");
    let logits = model.logits(&golden::batch(&input_ids, &input_ids)).unwrap();
    let expected = golden::tensor("models/llama/expected.safetensors", "logits");
    let difference = golden::max_difference(&logits, &expected);
    assert!(difference < 1e-4, "logits differ by {difference}: a permutation or a name is wrong");
    let tokenizer = ChatTokenizer::load(&out, &config).unwrap();
    assert_eq!((tokenizer.eos_token_id, tokenizer.template.is_some()), (Some(2), true));
    let again = import(&gguf, &out, options, &mut |_| {}).unwrap_err();
    assert_eq!(again.code(), "output_exists");
}

fn refused(path: &Path, name: &str) {
    match GgufFile::open(path) {
        Err(error) => assert!(error.is_user() && error.code() == "invalid_gguf", "{name}: {error}"),
        Ok(_) => panic!("{name} was taken"),
    }
}

#[test]
fn broken_files_are_refused_and_break_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.gguf");
    let whole = std::fs::read(golden::path("gguf/tiny.gguf")).unwrap();
    for length in (1..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).unwrap();
        refused(&path, &format!("cut at {length}"));
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut broken = whole.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, broken).unwrap();
    };
    with(0, b"PK\x03\x04");
    refused(&path, "a zip archive");
    with(4, &9_u32.to_le_bytes());
    refused(&path, "version 9");
    for (at, name) in [(8, "tensors"), (16, "metadata")] {
        for count in [u64::MAX, 1 << 63, 1 << 40] {
            with(at, &count.to_le_bytes());
            refused(&path, &format!("{count} {name}"));
        }
    }
    // One flipped bit anywhere in the header is refused or read; it never ends the process.
    let mut random = trainyard_trainer::rng::Rng::new(1, 1);
    for _ in 0..500 {
        let mut broken = whole.clone();
        let at = random.below(4000) as usize;
        broken[at] ^= 1 << random.below(8);
        std::fs::write(&path, broken).unwrap();
        if let Ok(file) = GgufFile::open(&path) {
            for name in file.tensors().keys() {
                let _ = file.tensor(name);
            }
        }
    }
}
