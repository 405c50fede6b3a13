//! IA3, prompt, prefix and head: PEFT's logits, losses and gradients (tolerances and reasons: `gen/methods.py`), and ways to the same gradient
//! that must agree.

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::peft::AdapterSettings;
use trainyard_trainer::peft::ia3::Ia3Settings;
use trainyard_trainer::rng::Rng;

use crate::golden;
use crate::gradients::ids;

const TOKENS: i64 = 5;

fn ia3(targets: &[&str], feedforward: &[&str]) -> AdapterSettings {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    AdapterSettings::Ia3(Ia3Settings {
        target_modules: own(targets),
        feedforward_modules: own(feedforward),
    })
}

/// The settings of a golden case, and its model.
fn case(name: &str) -> (AdapterSettings, &str) {
    let (method, model) = name.split_once('-').unwrap();
    let settings = match (method, model) {
        ("ia3", "llama-bias") => ia3(
            &["q_proj", "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            &["gate_proj", "down_proj"],
        ),
        ("ia3", "qwen2") => ia3(&["q_proj", "v_proj", "down_proj"], &["down_proj"]),
        ("ia3", _) => ia3(&["k_proj", "v_proj", "down_proj"], &["down_proj"]),
        ("prompt", _) => AdapterSettings::Prompt { tokens: TOKENS },
        ("prefix", _) => AdapterSettings::Prefix { tokens: TOKENS },
        _ => AdapterSettings::Head,
    };
    (settings, model)
}

const CASES: [&str; 10] = [
    "ia3-llama",
    "ia3-llama-bias",
    "ia3-qwen2",
    "prompt-llama",
    "prompt-mistral",
    "prefix-llama",
    "prefix-mistral",
    "prefix-qwen3",
    "head-llama",
    "head-llama-tied",
];

/// The case's model with its golden parameters.
pub(crate) fn trained(name: &str) -> CausalLm {
    let (settings, model) = case(name);
    let mut model = golden::model(model);
    model.attach(&settings, &mut Rng::new(1, 0)).unwrap();
    for (key, mut parameter) in model.parameters().named().unwrap() {
        parameter.copy_(&golden::tensor(&format!("methods/{name}.safetensors"), &key));
    }
    model
}

fn gradients(model: &CausalLm, batch: &ModelBatch, options: &StepOptions) -> (f64, Vec<Tensor>) {
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    let stats = model.accumulate_gradients(batch, 1.0, options).unwrap();
    (stats.loss_sum, parameters.views(&parameters.gradients.copy()).unwrap())
}

fn relative(a: &Tensor, b: &Tensor) -> f64 {
    ((a - b).norm() / b.norm()).double_value(&[])
}

#[test]
fn logits_losses_and_gradients_are_pefts() {
    for name in CASES {
        let mut model = trained(name);
        let read = |key: &str| golden::tensor(&format!("methods/{name}.safetensors"), key);
        let batch = golden::batch(&read("input_ids"), &read("labels"));
        let (loss, length) = (read("loss").double_value(&[0]), batch.input_ids.size()[1]);
        for plain in [false, true] {
            if plain {
                model.set_plain();
            }
            let logits = model.logits(&batch).unwrap();
            let before = logits.size()[1] - length;
            let difference =
                golden::max_difference(&logits.narrow(1, before, length), &read("logits"));
            assert!(difference < 1e-4, "{name}, plain {plain}: logits differ by {difference}");
            let evaluated = model.evaluate(&batch).unwrap().loss_sum;
            assert!((evaluated / loss - 1.0).abs() < 1e-5, "{name}: {evaluated} {loss}");
            for gradient_checkpointing in [false, true] {
                let options = StepOptions { gradient_checkpointing, ..StepOptions::default() };
                let (seen, own) = gradients(&model, &batch, &options);
                assert!((seen / loss - 1.0).abs() < 1e-5, "{name}, plain {plain}: {seen} {loss}");
                let named = model.parameters().named().unwrap();
                for ((key, _), gradient) in named.iter().zip(&own) {
                    let off = relative(gradient, &read(&format!("gradient.{key}")));
                    assert!(off < 1e-4, "{name}, plain {plain}, {key}: off by {off}");
                }
            }
        }
    }
}

#[test]
fn without_its_adapter_a_model_is_its_base() {
    let ids = ids(2, 12, 1);
    let batch = golden::batch(&ids, &ids);
    for name in CASES {
        let mut model = trained(name);
        let base = golden::model(case(name).1).logits(&batch).unwrap();
        model.set_adapter_enabled(false);
        assert_eq!(golden::max_difference(&model.logits(&batch).unwrap(), &base), 0.0, "{name}");
    }
}

/// Learned positions begin as tokens of the vocabulary: fresh ones are those tokens before the sequence.
#[test]
fn fresh_positions_are_real_tokens() {
    let ids = ids(2, 12, 1);
    let batch = golden::batch(&ids, &ids);
    let drawn: Vec<i64> = {
        let mut rng = Rng::new(8, 0);
        (0..TOKENS).map(|_| rng.below(96) as i64).collect()
    };
    let drawn = Tensor::from_slice(&drawn).unsqueeze(0).expand([2, -1], false);
    let whole = Tensor::cat(&[&drawn, &ids], 1);
    for name in ["llama", "mistral", "qwen3", "llama-yarn"] {
        let base = golden::model(name).logits(&golden::batch(&whole, &whole)).unwrap();
        for settings in
            [AdapterSettings::Prompt { tokens: TOKENS }, AdapterSettings::Prefix { tokens: TOKENS }]
        {
            let mut model = golden::model(name);
            model.attach(&settings, &mut Rng::new(8, 0)).unwrap();
            let logits = model.logits(&batch).unwrap();
            let before = logits.size()[1] - 12;
            let difference =
                golden::max_difference(&logits.narrow(1, before, 12), &base.narrow(1, TOKENS, 12));
            assert!(difference < 1e-4, "{name}, {settings:?}: {difference}");
        }
    }
}

#[test]
fn packed_rows_equal_rows_of_their_own() {
    let (a, b, c) = (ids(1, 9, 1), ids(1, 11, 2), ids(1, 5, 3));
    let first_unlearned = |ids: &Tensor| {
        let labels = ids.copy();
        let _ = labels.narrow(1, 0, 1).fill_(-100);
        labels
    };
    let count = |length: i64| Tensor::arange(length, (Kind::Int64, Device::Cpu)).unsqueeze(0);
    let padding = |value: i64| Tensor::full([1, 15], value, (Kind::Int64, Device::Cpu));
    let of =
        |segment: i64, length: i64| Tensor::full([1, length], segment, (Kind::Int64, Device::Cpu));
    // Two sequences in the first row; one and padding in the second.
    let rows = |first: [&Tensor; 2], second: [&Tensor; 2]| {
        Tensor::cat(&[Tensor::cat(&first, 1), Tensor::cat(&second, 1)], 0)
    };
    let packed = ModelBatch {
        input_ids: rows([&a, &b], [&c, &padding(0)]),
        labels: rows(
            [&first_unlearned(&a), &first_unlearned(&b)],
            [&first_unlearned(&c), &padding(-100)],
        ),
        position_ids: rows([&count(9), &count(11)], [&count(5), &padding(0)]),
        segment_ids: Some(rows([&of(1, 9), &of(2, 11)], [&of(1, 5), &padding(0)])),
    };
    for name in CASES {
        let mut model = trained(name);
        for plain in [false, true] {
            if plain {
                model.set_plain();
            }
            let options = StepOptions::default();
            let (loss, together) = gradients(&model, &packed, &options);
            let mut apart = 0.0;
            let mut sum: Vec<Tensor> = together.iter().map(Tensor::zeros_like).collect();
            for ids in [&a, &b, &c] {
                let alone = gradients(&model, &golden::batch(ids, &first_unlearned(ids)), &options);
                apart += alone.0;
                sum = sum.iter().zip(&alone.1).map(|(sum, own)| sum + own).collect();
            }
            assert!((loss / apart - 1.0).abs() < 1e-5, "{name}, plain {plain}: {loss} {apart}");
            for (together, sum) in together.iter().zip(&sum) {
                assert!(relative(together, sum) < 1e-4, "{name}: {}", relative(together, sum));
            }
        }
    }
}

/// bf16 rounds to 8 bits: losses within 1 %, gradients of the same direction.
#[test]
fn in_bf16_it_is_nearly_the_same() {
    use trainyard_trainer::arch::config::ModelConfig;
    use trainyard_trainer::weights::safetensors::SafetensorsSource;
    let ids = ids(2, 24, 1);
    let batch = golden::batch(&ids, &ids);
    for name in CASES {
        let (settings, model) = case(name);
        let dir = golden::path("models").join(model);
        let config = ModelConfig::read(&dir.join("config.json")).unwrap();
        let source = SafetensorsSource::open_dir(&dir).unwrap();
        let mut narrow = CausalLm::load(&source, &config, Device::Cpu, Kind::BFloat16).unwrap();
        narrow.attach(&settings, &mut Rng::new(1, 0)).unwrap();
        let wide = trained(name);
        narrow.parameters().values.shallow_clone().copy_(&wide.parameters().values);
        let (loss, gradient) = gradients(&narrow, &batch, &StepOptions::default());
        let (expected, exact) = gradients(&wide, &batch, &StepOptions::default());
        assert!((loss / expected - 1.0).abs() < 1e-2, "{name}: {loss} {expected}");
        let flat = |all: &[Tensor]| {
            Tensor::cat(&all.iter().map(|one| one.reshape([-1])).collect::<Vec<_>>(), 0)
        };
        let (a, b) = (flat(&gradient), flat(&exact));
        let cosine = (a.dot(&b) / (a.norm() * b.norm())).double_value(&[]);
        assert!(cosine > 0.99, "{name}: the gradients' cosine is {cosine}");
    }
}
