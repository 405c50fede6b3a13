//! Ways to the same gradient that must agree: chunks, recomputation, packing.

use tch::{Device, Kind, Tensor};
use trainyard_openapi::extension::TargetModules;
use trainyard_trainer::arch::{AtHead, CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::data::Sequences;
use trainyard_trainer::nn::compute::Compute;
use trainyard_trainer::objective::cross_entropy::{Targets, linear_cross_entropy};
use trainyard_trainer::peft::lora::LoraSettings;
use trainyard_trainer::rng::Rng;

use crate::golden;

pub(crate) fn settings(dropout: f64) -> LoraSettings {
    LoraSettings {
        rank: 4,
        alpha: 8.0,
        dropout,
        target_modules: TargetModules::AllLinear,
        rslora: false,
    }
}

/// A model whose B is not zero, so that A has a gradient too.
pub(crate) fn adapted(name: &str, dropout: f64) -> CausalLm {
    adapted_on(name, dropout, Device::Cpu, Kind::Float)
}

/// The same on `device` in `kind`.
pub(crate) fn adapted_on(name: &str, dropout: f64, device: Device, kind: Kind) -> CausalLm {
    let mut model = golden::model_on(name, device, kind);
    let mut rng = Rng::new(3, 0);
    model.attach_lora(&settings(dropout), &mut rng).unwrap();
    for mut parameter in model.parameters().views(&model.parameters().values).unwrap() {
        let mut values = vec![0_f32; parameter.numel()];
        rng.fill_uniform(&mut values, -0.2, 0.2);
        parameter.copy_(&Tensor::from_slice(&values).view_as(&parameter));
    }
    model
}

pub(crate) fn ids(rows: i64, length: i64, seed: u64) -> Tensor {
    let mut rng = Rng::new(seed, 9);
    let ids: Vec<i64> = (0..rows * length).map(|_| 3 + rng.below(90) as i64).collect();
    Tensor::from_slice(&ids).view([rows, length])
}

fn gradients(model: &CausalLm, batch: &ModelBatch, options: &StepOptions) -> Vec<Tensor> {
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    model.accumulate_gradients(batch, 0.1, options).unwrap();
    parameters.views(&parameters.gradients.copy()).unwrap()
}

fn assert_close(a: &[Tensor], b: &[Tensor], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(a.abs().max().double_value(&[]) > 0.0, "a gradient is zero");
        assert!(golden::max_difference(a, b) < tolerance, "{}", golden::max_difference(a, b));
    }
}

#[test]
fn recomputation_gives_the_same_gradients_dropout_included() {
    let model = adapted("llama", 0.3);
    let ids = ids(2, 12, 1);
    let batch = golden::batch(&ids, &ids);
    let plain = StepOptions { dropout: Some(Rng::new(5, 5)), ..StepOptions::default() };
    let again = StepOptions { gradient_checkpointing: true, ..plain.clone() };
    let without = StepOptions::default();
    let expected = gradients(&model, &batch, &plain);
    assert_close(&expected, &gradients(&model, &batch, &again), 1e-6);
    let undropped = gradients(&model, &batch, &without);
    assert!(golden::max_difference(&expected[0], &undropped[0]) > 1e-4, "dropout changed nothing");
}

/// One row of these sequences, all of whose tokens but each first one are targets.
pub(crate) fn packed(sequences: &[&Tensor], device: Device) -> ModelBatch {
    let lengths: Vec<i64> = sequences.iter().map(|ids| ids.size()[1]).collect();
    let labels: Vec<Tensor> = sequences.iter().map(|ids| ids.copy()).collect();
    for labels in &labels {
        let _ = labels.narrow(1, 0, 1).fill_(-100);
    }
    let positions: Vec<Tensor> =
        lengths.iter().map(|&t| Tensor::arange(t, (Kind::Int64, Device::Cpu))).collect();
    let of_row = lengths.iter().map(|&length| length as usize);
    let layout = Sequences::packed(of_row.clone().sum(), std::iter::once(of_row));
    let (ids, labels) = (Tensor::cat(sequences, 1), Tensor::cat(&labels, 1));
    let positions = Tensor::cat(&positions, 0).unsqueeze(0);
    ModelBatch::new(&ids, &labels, &positions, layout, device).unwrap()
}

#[test]
fn packed_rows_equal_rows_of_their_own() {
    for name in ["llama", "mistral", "qwen3"] {
        let model = adapted(name, 0.0);
        let (a, b) = (ids(1, 9, 1), ids(1, 11, 2));
        let packed = packed(&[&a, &b], Device::Cpu);
        let options = StepOptions::default();
        let together = gradients(&model, &packed, &options);
        let first = gradients(&model, &golden::batch(&a, &a), &options);
        let second = gradients(&model, &golden::batch(&b, &b), &options);
        let sum: Vec<Tensor> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
        assert_close(&together, &sum, 1e-5);
    }
}

#[test]
fn chunked_cross_entropy_equals_the_plain_one() {
    // A vocabulary so large that a chunk holds 512 rows: 700 targets need two.
    let (rows, length, width, vocab) = (4, 200, 8, 32_768);
    tch::manual_seed(1);
    let hidden =
        Tensor::randn([rows, length, width], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let weight = Tensor::randn([vocab, width], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(vocab, [rows, length], (Kind::Int64, Device::Cpu));
    let labels = labels.slice_scatter(
        &Tensor::full([rows, 20], -100, (Kind::Int64, Device::Cpu)),
        1,
        0,
        20,
        1,
    );
    let flat = hidden.detach().view([-1, width]);
    let of = |compute: Compute| {
        let targets = Targets::of(&labels, Device::Cpu).unwrap();
        let at = AtHead { hidden_nd: &flat, head_vd: &weight, trained: None, compute: &compute };
        let (sums, gradient) = linear_cross_entropy(&at, &targets, Some(0.01)).unwrap();
        (sums.read().unwrap(), gradient)
    };
    let compute = Compute::new(Device::Cpu, Kind::Float);
    let logits = hidden.narrow(1, 0, length - 1).matmul(&weight.tr()).reshape([-1, vocab]);
    let target = labels.narrow(1, 1, length - 1).reshape([-1]);
    let loss = logits.cross_entropy_loss(&target, None::<&Tensor>, tch::Reduction::Sum, -100, 0.0);
    (&loss * 0.01).backward();
    let correct = logits.argmax(1, false).eq_tensor(&target).sum(Kind::Int64).int64_value(&[]);
    for (stats, gradient) in [of(compute), of(compute.plain())] {
        assert_eq!(stats.target_tokens, rows * (length - 20));
        assert!((stats.loss_sum / loss.double_value(&[]) - 1.0).abs() < 1e-6);
        let gradient = gradient.unwrap().view_as(&hidden);
        assert!(golden::max_difference(&gradient, &hidden.grad()) < 1e-6);
        assert_eq!(stats.correct_tokens, correct);
    }
}
