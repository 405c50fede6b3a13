//! What is done against forgetting equals what autograd gives (`gen/continual.py`), to 1e-5 of the largest number.

use tch::{Device, Kind, Tensor};
use trainyard_openapi::extension::{Ema as EmaSettings, OLora as OLoraSettings};
use trainyard_trainer::arch::{CausalLm, StepOptions};
use trainyard_trainer::continual::adapter::laid_out;
use trainyard_trainer::continual::ema::Ema;
use trainyard_trainer::continual::ewc::{Anchor, fisher};
use trainyard_trainer::continual::guided::{Guide, Scales, guided_cross_entropy, top_logits};
use trainyard_trainer::continual::lwf::hidden_of;
use trainyard_trainer::continual::{a_gem, o_lora};
use trainyard_trainer::data::encode::Example;
use trainyard_trainer::optim::parameters::Parameters;
use trainyard_trainer::rng::Rng;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

use crate::{golden, gradients};

const FILE: &str = "continual/formulas.safetensors";

fn read(name: &str) -> Tensor {
    golden::tensor(FILE, name)
}

/// The model that learns.
fn student() -> CausalLm {
    let mut model = golden::model("llama");
    model.attach_lora(&gradients::settings(0.0), &mut Rng::new(0, 0)).unwrap();
    let weights = golden::path("sft/final.safetensors");
    model.load_adapter(&SafetensorsSource::open_file(&weights).unwrap()).unwrap();
    model
}

/// What stands in the golden file under `what`, laid out as the parameters are.
fn flat(model: &CausalLm, what: &str) -> Tensor {
    let named = model.parameters().named().unwrap();
    let parts: Vec<Tensor> =
        named.iter().map(|(name, _)| read(&format!("{what}.{name}")).reshape([-1])).collect();
    Tensor::cat(&parts, 0)
}

fn assert_equal(seen: &Tensor, what: &str, expected: &Tensor) {
    let largest = expected.abs().max().double_value(&[]);
    let difference = golden::max_difference(seen, expected);
    assert!(difference < 1e-5 * largest.max(1.0), "{what}: {difference} of {largest}");
}

fn assert_value(seen: f64, what: &str) {
    let expected = read(&format!("{what}.value")).double_value(&[]);
    assert!((seen / expected - 1.0).abs() < 1e-5, "{what}: {seen}, not {expected}");
}

fn batch() -> trainyard_trainer::arch::ModelBatch {
    golden::batch(&read("input_ids"), &read("labels"))
}

fn targets() -> f64 {
    read("labels").slice(1, 1, None, 1).ne(-100).sum(Kind::Int64).double_value(&[])
}

/// Value and gradient of cross entropy and guide, both scaled.
fn guided(model: &CausalLm, guide: &Guide<'_>, ce: f64, weight: f64) -> (f64, f64, Tensor) {
    let (batch, count) = (batch(), targets());
    model.parameters().share().clear_gradients().unwrap();
    let scales = Scales { cross_entropy: ce / count, guide: weight / count };
    let mut sum = 0.0;
    let stats = model
        .accumulate_with(&batch, &StepOptions::default(), &mut |at| {
            let (sums, guided) = guided_cross_entropy(at, &batch.targets, guide, scales)?;
            Ok((
                sums,
                guided.map(|(own, gradient)| {
                    sum = own.double_value(&[]);
                    gradient
                }),
            ))
        })
        .unwrap()
        .read()
        .unwrap();
    let total = ce * stats.loss_sum / count + weight * sum / count;
    (total, sum / count, model.parameters().gradients.copy())
}

#[test]
fn distillation_from_the_adapter_before() {
    for plain in [false, true] {
        let mut model = student();
        if plain {
            model.set_plain();
        }
        let own = model.parameters().values.copy();
        let hidden = hidden_of(&model, &flat(&model, "teacher"), &batch()).unwrap();
        assert_eq!(golden::max_difference(&own, &model.parameters().values), 0.0, "left changed");
        let guide = Guide::Teacher { hidden_nd: &hidden, temperature: 2.0 };
        let (value, divergence, gradient) = guided(&model, &guide, 1.0, 0.7);
        assert_value(value, "lwf");
        let expected = read("lwf.divergence").double_value(&[]);
        assert!(expected > 1e-3 && (divergence / expected - 1.0).abs() < 1e-5, "{divergence}");
        assert_equal(&gradient, "lwf", &flat(&model, "lwf"));
    }
}

#[test]
fn remembered_logits() {
    let model = student();
    let hidden = hidden_of(&model, &flat(&model, "teacher"), &batch()).unwrap();
    let (ids, logits) = top_logits(&model.at_head(&hidden), &batch().targets, 5).unwrap();
    assert_eq!(ids, read("derpp.ids"));
    assert_equal(&logits, "kept logits", &read("derpp.logits"));
    let guide = Guide::Kept { ids_mk: &ids, logits_mk: &logits };
    let (value, _, gradient) = guided(&model, &guide, 0.4, 0.7);
    assert_value(value, "derpp");
    assert_equal(&gradient, "derpp", &flat(&model, "derpp"));
}

#[test]
fn fisher_information_of_single_examples_and_the_penalty() {
    let model = student();
    let (ids, labels) = (read("input_ids"), read("labels"));
    let numbers = |tensor: &Tensor, row| Vec::<i64>::try_from(tensor.get(row)).unwrap();
    let examples: Vec<Example> = (0..3)
        .map(|row| Example {
            ids: numbers(&ids, row).into_iter().map(|id| id as u32).collect(),
            labels: numbers(&labels, row).into_iter().map(|label| label as i32).collect(),
        })
        .collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let expected = flat(&model, "fisher");
    for rows in [1, 2, 8] {
        let seen = fisher(&model, &examples, rows, 0, false, || Ok(true)).unwrap().unwrap();
        assert_equal(&seen, "fisher", &expected);
    }
    assert!(fisher(&model, &examples, 1, 0, false, || Ok(false)).unwrap().is_none());

    let anchor = Anchor { fisher: expected, center: flat(&model, "teacher") };
    let values = &model.parameters().values;
    assert_value(anchor.penalty(values, 3.0).unwrap(), "ewc");
    let mut gradient = values.zeros_like();
    anchor.add_gradient(&mut gradient, values, 3.0).unwrap();
    assert_equal(&gradient, "ewc", &flat(&model, "ewc"));
}

#[test]
fn orthogonal_blocks() {
    let model = student();
    let parameters = laid_out(model.parameters(), 4, &model.parameters().values).unwrap();
    let settings = OLoraSettings { orthogonality: 0.5, norm: 0.1 };
    assert_value(o_lora::penalty(&parameters, 2, &settings).unwrap(), "o_lora");
    assert_equal(&parameters.gradients, "o_lora", &flat(&model, "o_lora"));
}

#[test]
fn a_gradient_is_turned_only_where_it_points_against_the_memory() {
    let (mut gradient, reference) = (read("a_gem.gradient"), read("a_gem.reference"));
    assert!(a_gem::project(&mut gradient, &reference).unwrap());
    assert_equal(&gradient, "a_gem", &read("a_gem.turned"));
    assert!((&gradient * &reference).sum(Kind::Double).double_value(&[]).abs() < 1e-5);
    let mut along = &reference * 2.0;
    assert!(!a_gem::project(&mut along, &reference).unwrap());
    assert_eq!(along, &reference * 2.0);
    assert!(!a_gem::project(&mut gradient, &reference.zeros_like()).unwrap());
}

#[test]
fn the_average_weighs_as_its_coefficients_say() {
    let mut ema = Ema::new(&EmaSettings { decay: 0.75 }).unwrap();
    let all: Vec<Tensor> =
        (0..6).map(|i| Tensor::from_slice(&[i as f32, (i * i) as f32])).collect();
    for values in &all {
        ema.take(values).unwrap();
    }
    let weights = trainyard_continual::merge::Ema::new(0.75).unwrap().coefficients(6).unwrap();
    let expected = all.iter().zip(weights).map(|(values, weight)| values * weight);
    let expected = expected.reduce(|a, b| a + b).unwrap();
    assert_equal(ema.mean().unwrap(), "average", &expected);
}

/// Ranks are laid side by side so that the sum of the updates is that of the whole.
#[test]
fn adapters_side_by_side_are_their_sum() {
    let model = student();
    let parameters = model.parameters();
    let whole = trainyard_trainer::continual::adapter::layout(parameters, 8).unwrap();
    let teacher = laid_out(parameters, 4, &flat(&model, "teacher")).unwrap();
    let lay = trainyard_trainer::continual::adapter::lay;
    lay(&whole, &laid_out(parameters, 4, &parameters.values).unwrap(), 0, 0.5).unwrap();
    lay(&whole, &teacher, 4, -2.0).unwrap();
    let update = |parameters: &Parameters| {
        let named = parameters.named().unwrap();
        let pairs: Vec<Tensor> =
            named.chunks(2).map(|pair| pair[1].1.matmul(&pair[0].1).reshape([-1])).collect();
        Tensor::cat(&pairs, 0).to_device(Device::Cpu)
    };
    let expected = update(parameters) * 0.5 - update(&teacher) * 2.0;
    assert_equal(&update(&whole), "sum", &expected);
}
