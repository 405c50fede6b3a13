//! IA3, prompt, prefix and head: PEFT's logits, losses and gradients (tolerances and reasons: `gen/methods.py`), and ways to the same gradient
//! that must agree.

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::data::Sequences;
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

pub(crate) const CASES: [&str; 10] = [
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
    trained_on(name, Device::Cpu, Kind::Float)
}

/// The same on `device` in `kind`.
pub(crate) fn trained_on(name: &str, device: Device, kind: Kind) -> CausalLm {
    let (settings, model) = case(name);
    let mut model = golden::model_on(model, device, kind);
    model.attach(&settings, &mut Rng::new(1, 0)).unwrap();
    for (key, mut parameter) in model.parameters().named().unwrap() {
        parameter.copy_(&golden::tensor(&format!("methods/{name}.safetensors"), &key));
    }
    model
}

fn gradients(model: &CausalLm, batch: &ModelBatch, options: &StepOptions) -> (f64, Vec<Tensor>) {
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    let sums = model.accumulate_gradients(batch, 1.0, options).unwrap();
    (sums.read().unwrap().loss_sum, parameters.views(&parameters.gradients.copy()).unwrap())
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
        let loss = read("loss").double_value(&[0]);
        for plain in [false, true] {
            if plain {
                model.set_plain();
            }
            let difference =
                golden::max_difference(&model.logits(&batch).unwrap(), &read("logits"));
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
            let difference = golden::max_difference(&logits, &base.narrow(1, TOKENS, 12));
            assert!(difference < 1e-4, "{name}, {settings:?}: {difference}");
        }
    }
}

/// Labels of `ids` but for the first token.
fn first_unlearned(ids: &Tensor) -> Tensor {
    let labels = ids.copy();
    let _ = labels.narrow(1, 0, 1).fill_(-100);
    labels
}

/// Two sequences in the first row; one and padding in the second.
pub(crate) fn packed_on(device: Device, [a, b, c]: [&Tensor; 3]) -> ModelBatch {
    let lengths = [a, b, c].map(|ids| ids.size()[1]);
    let length = lengths[0] + lengths[1];
    let options = (Kind::Int64, Device::Cpu);
    let padding = |value: i64| Tensor::full([1, length - lengths[2]], value, options);
    let rows = |[a, b, c]: [Tensor; 3], value: i64| {
        let rows = [Tensor::cat(&[a, b], 1), Tensor::cat(&[c, padding(value)], 1)];
        Tensor::cat(&rows, 0)
    };
    let positions = lengths.map(|length| Tensor::arange(length, options).unsqueeze(0));
    let of_rows = [vec![lengths[0] as usize, lengths[1] as usize], vec![lengths[2] as usize]];
    let of_rows = of_rows.iter().map(|row| row.iter().copied());
    ModelBatch::new(
        &rows([a, b, c].map(Tensor::copy), 0),
        &rows([a, b, c].map(first_unlearned), -100),
        &rows(positions, 0),
        Sequences::packed(length as usize, of_rows),
        device,
    )
    .unwrap()
}

#[test]
fn packed_rows_equal_rows_of_their_own() {
    let (a, b, c) = (ids(1, 9, 1), ids(1, 11, 2), ids(1, 5, 3));
    let packed = packed_on(Device::Cpu, [&a, &b, &c]);
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
    let ids = ids(2, 24, 1);
    let batch = golden::batch(&ids, &ids);
    for name in CASES {
        let narrow = trained_on(name, Device::Cpu, Kind::BFloat16);
        let wide = trained(name);
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
