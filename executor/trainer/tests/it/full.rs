//! Full fine-tuning: the gradients of autograd, transformers' losses and weights, and whole runs (values, tolerances and reasons:
//! `gen/full.py`).

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::objective::cross_entropy::{LossStats, LossSums};
use trainyard_trainer::optim::adamw::{AdamW, AdamWSettings};
use trainyard_trainer::optim::clip::{clip_scale, global_norm};
use trainyard_trainer::peft::AdapterSettings;
use trainyard_trainer::rng::Rng;
use trainyard_trainer::weights::WeightSource;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

use crate::golden;
use crate::trainer::{Place, Running, chat, names, request, tiny_model};

pub(crate) const MODELS: [&str; 6] =
    ["llama", "llama-tied", "llama-bias", "mistral", "qwen2", "qwen3"];

pub(crate) fn model(name: &str, kind: Kind) -> CausalLm {
    let dir = golden::path("models").join(name);
    let config = ModelConfig::read(&dir.join("config.json")).unwrap();
    let source = SafetensorsSource::open_dir(&dir).unwrap();
    let mut model = CausalLm::load(&source, &config, Device::Cpu, kind).unwrap();
    model.attach(&AdapterSettings::Full, &mut Rng::new(0, 0)).unwrap();
    model.load_masters(&source).unwrap();
    model
}

fn batch_of(file: &str) -> ModelBatch {
    golden::batch(&golden::tensor(file, "input_ids"), &golden::tensor(file, "labels"))
}

/// The gradients of 0.1 times the loss, by name.
fn gradients(
    model: &CausalLm,
    batch: &ModelBatch,
    options: &StepOptions,
) -> (LossStats, Vec<(String, Tensor)>) {
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    let stats = model.accumulate_gradients(batch, 0.1, options).unwrap().read().unwrap();
    (stats, parameters.named_in(&parameters.gradients.copy()).unwrap())
}

/// How far `seen` is off in norm, of the norm of `expected`.
pub(crate) fn off(seen: &Tensor, expected: &Tensor) -> f64 {
    let norm = expected.norm().double_value(&[]);
    assert!(norm > 0.0, "a gradient is zero");
    (seen - expected).norm().double_value(&[]) / norm
}

#[test]
fn every_parameter_has_the_gradient_of_autograd() {
    for name in MODELS {
        let file = format!("full/{name}.safetensors");
        let batch = batch_of(&file);
        let source = SafetensorsSource::open_file(&golden::path(&file)).unwrap();
        let expected = source.names().into_iter().filter(|name| name.starts_with("gradient."));
        for plain in [false, true] {
            let mut model = model(name, Kind::Float);
            if plain {
                model.set_plain();
            }
            for gradient_checkpointing in [false, true] {
                let options = StepOptions { gradient_checkpointing, ..StepOptions::default() };
                let (_, all) = gradients(&model, &batch, &options);
                assert_eq!(all.len(), expected.clone().count(), "{name}");
                for (parameter, seen) in all {
                    let expected = golden::tensor(&file, &format!("gradient.{parameter}"));
                    let off = off(&seen, &expected);
                    assert!(off < 1e-5, "{name}, {parameter}, plain {plain}: {off}");
                }
            }
        }
    }
}

/// bf16 keeps 8 bits: each of the operations on the way rounds by up to 2^-9, and two layers have some ten of them.
#[test]
fn gradients_in_bf16_are_those_in_fp32_but_for_rounding() {
    for name in ["llama-tied", "llama-bias", "qwen3"] {
        let batch = batch_of(&format!("full/{name}.safetensors"));
        let of = |kind| gradients(&model(name, kind), &batch, &StepOptions::default());
        let ((narrow_stats, narrow), (stats, wide)) = (of(Kind::BFloat16), of(Kind::Float));
        assert!((narrow_stats.loss_sum / stats.loss_sum - 1.0).abs() < 1e-2);
        for ((parameter, narrow), (_, wide)) in narrow.iter().zip(&wide) {
            let off = off(narrow, wide);
            assert!(off < 5e-2, "{name}, {parameter}: {off}");
        }
    }
}

/// What is computed with is the masters, or their copy, after every way that they change.
#[test]
fn the_copy_follows_the_masters() {
    for kind in [Kind::BFloat16, Kind::Float] {
        let model = model("llama-tied", kind);
        let batch = batch_of("full/llama-tied.safetensors");
        let settings = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
        let mut adam = AdamW::new(model.parameters().share(), settings).unwrap();
        let before = model.logits(&batch).unwrap();
        let same = || {
            let parameters = model.parameters();
            let rounded = parameters.values.to_kind(kind);
            assert_eq!(parameters.computed(), &rounded);
        };
        same();
        model.accumulate_gradients(&batch, 0.1, &StepOptions::default()).unwrap();
        adam.update(1e-2, 0.5).unwrap();
        same();
        let gradients = &model.parameters().gradients;
        assert_eq!(gradients.abs().max().double_value(&[]), 0.0, "they are not cleared");
        let moved = golden::max_difference(&before, &model.logits(&batch).unwrap());
        assert!(moved > 0.1, "the logits moved by {moved}");
    }
}

#[test]
fn how_a_batch_is_cut_does_not_change_the_gradient() {
    let model = model("llama-tied", Kind::Float);
    let batch = batch_of("full/llama-tied.safetensors");
    let (_, whole) = gradients(&model, &batch, &StepOptions::default());
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    for row in 0..3 {
        let cut = |name| golden::tensor("full/llama-tied.safetensors", name).narrow(0, row, 1);
        let part = golden::batch(&cut("input_ids"), &cut("labels"));
        model.accumulate_gradients(&part, 0.1, &StepOptions::default()).unwrap();
    }
    for ((name, whole), cut) in whole.iter().zip(parameters.views(&parameters.gradients).unwrap()) {
        assert!(off(&cut, whole) < 1e-5, "{name}: {}", off(&cut, whole));
    }
}

#[test]
fn ten_steps_match_transformers() {
    let model = model("llama-tied", Kind::Float);
    let initial = model.parameters().values.copy();
    let settings = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
    let mut adam = AdamW::new(model.parameters().share(), settings).unwrap();
    let read = |name| golden::tensor("full/run.safetensors", name);
    let (inputs, labels, losses, norms) =
        (read("input_ids"), read("labels"), read("losses"), read("grad_norms"));
    for step in 0..10 {
        let target =
            labels.get(step).slice(2, 1, None, 1).ne(-100).sum(Kind::Int64).int64_value(&[]);
        let mut sums = LossSums::default();
        for micro in 0..2 {
            let batch = golden::batch(&inputs.get(step).get(micro), &labels.get(step).get(micro));
            let scale = 1.0 / target as f64;
            let options = StepOptions::default();
            sums.add(model.accumulate_gradients(&batch, scale, &options).unwrap()).unwrap();
        }
        let (stats, norm) = sums.read_with(&global_norm(&adam.gradients()).unwrap()).unwrap();
        adam.update(1e-3, clip_scale(norm, Some(0.5))).unwrap();
        let (loss, expected) = (stats.mean_loss(), losses.double_value(&[step]));
        assert!((loss / expected - 1.0).abs() < 1e-4, "step {step}: {loss} {expected}");
        let expected = norms.double_value(&[step]);
        assert!((norm / expected - 1.0).abs() < 1e-3, "step {step}: norm {norm} {expected}");
    }
    let moved = (&model.parameters().values - initial).norm().double_value(&[]);
    let mut squares = 0.0;
    for (name, weight) in model.parameters().named().unwrap() {
        let off = weight - golden::tensor("full/run.safetensors", &format!("final.{name}"));
        squares += off.square().sum(Kind::Double).double_value(&[]);
    }
    assert!(squares.sqrt() < 1e-3 * moved, "off by {} of {moved}", squares.sqrt());
}

/// A request for full fine-tuning of the tiny model.
fn full(epochs: u32, precision: &str) -> Value {
    let mut request = request(epochs);
    request["trainyard"]["adapter"] = json!({"type": "full"});
    request["trainyard"]["optimizer"]["learning_rate"] = json!(0.002);
    request["trainyard"]["precision"] = json!(precision);
    request
}

#[test]
fn a_run_hands_back_a_model() {
    for (precision, format, kind) in
        [("fp32", "float32", Kind::Float), ("bf16", "bfloat16", Kind::BFloat16)]
    {
        let place = Place::new(&full(4, precision));
        let ended = place.run("out", &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let files = [
            "README.md",
            "config.json",
            "manifest.json",
            "metrics.csv",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(names(&place.path("out/adapter")), files);
        let config = |path: &str| -> Value { serde_json::from_slice(&place.read(path)).unwrap() };
        let dtype = |config: &Value| {
            config.get("dtype").or_else(|| config.get("torch_dtype")).cloned().unwrap()
        };
        assert_eq!(dtype(&config("out/adapter/config.json")), json!(format));
        let result = SafetensorsSource::open_dir(&place.path("out/adapter")).unwrap();
        let base = SafetensorsSource::open_dir(&tiny_model()).unwrap();
        let mut moved = 0;
        for name in result.names() {
            let (after, before) =
                (result.tensor(&name).unwrap().unwrap(), base.tensor(&name).unwrap().unwrap());
            assert_eq!((after.kind(), after.size()), (kind, before.size()), "{name}");
            moved += usize::from(after.to_kind(Kind::Float) != before.to_kind(Kind::Float));
        }
        assert_eq!(moved, result.names().len(), "every tensor is trained");
        let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
        for part in ["library_name: transformers", "Fine-tuned weights of", "vllm serve", format] {
            assert!(card.contains(part), "no {part} in {card}");
        }
        // A checkpoint holds the masters, whatever is computed in, and is a model too.
        let checkpoint = "out/checkpoints/step-000018";
        let masters = SafetensorsSource::open_dir(&place.path(checkpoint)).unwrap();
        let norm = masters.tensor("model.norm.weight").unwrap().unwrap();
        assert_eq!(norm.kind(), Kind::Float);
        assert_eq!(dtype(&config(&format!("{checkpoint}/config.json"))), json!("float32"));
    }
}

#[test]
fn killed_it_ends_with_the_same_bits() {
    for precision in ["fp32", "bf16"] {
        let place = Place::new(&full(6, precision));
        assert_eq!(place.run("calm", &[]).code, Some(0));
        for step in [5, 14] {
            let mut running = Running::start(place.command("hit", &[]));
            assert!(running.until_step(step), "killed at step {step}");
            running.signal(Signal::SIGKILL);
            assert_eq!(running.end().code, None, "it was to be killed at step {step}");
        }
        let ended = place.run("hit", &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.steps()[0] > 1, "it began anew");
        for file in ["model.safetensors", "metrics.csv"] {
            let of = |out: &str| place.read(&format!("{out}/adapter/{file}"));
            assert!(of("calm") == of("hit"), "{precision}: {file} differs");
        }
    }
}

/// A model that did not change is no result, and is not handed back as one.
#[test]
fn a_run_that_changes_nothing_is_no_result() {
    let mut request = full(1, "bf16");
    // Less than fp32 can hold.
    request["trainyard"]["optimizer"]["learning_rate"] = json!(1e-60);
    request["trainyard"]["optimizer"]["weight_decay"] = json!(0.0);
    let place = Place::new(&request);
    place.write("train.jsonl", &chat(0..8));
    let ended = place.run("out", &[]);
    let (code, message, _, _) = ended.failure();
    assert_eq!(code, "integrity_check_failed", "{message}");
    assert!(message.contains("every weight is the base's"), "{message}");
    assert!(!place.path("out/adapter").exists());
}
