//! What a CUDA device computes is what the processor does. Without a device these tests say so and check what can be checked.
#![expect(
    clippy::print_stderr,
    reason = "who reads the test's output has to see that it was skipped"
)]

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::data::Sequences;
use trainyard_trainer::device;
use trainyard_trainer::kernels::{self, Heads, Over};
use trainyard_trainer::nn::compute::{Compute, Kernels};
use trainyard_trainer::nn::norm::RmsNorm;
use trainyard_trainer::rng::Rng;

use crate::{golden, gradients, lora, methods};

/// The CUDA device, if there is one.
fn cuda() -> Option<Device> {
    let device = device::choose();
    if !device.is_cuda() {
        eprintln!("skipped: no CUDA device here, or libtorch without its CUDA half");
        return None;
    }
    Some(device)
}

/// How far `seen` is from `expected`, of its size.
fn off(seen: &Tensor, expected: &Tensor) -> f64 {
    let [seen, expected] =
        [seen, expected].map(|tensor| tensor.to_device(Device::Cpu).to_kind(Kind::Double));
    assert_eq!(seen.size(), expected.size());
    assert!(expected.norm().double_value(&[]) > 0.0);
    (&seen - &expected).norm().double_value(&[]) / expected.norm().double_value(&[])
}

/// The loss of a batch, and the adapter's gradient.
fn learned(model: &CausalLm, batch: &ModelBatch, options: &StepOptions) -> (f64, Tensor) {
    let mut parameters = model.parameters().share();
    parameters.clear_gradients().unwrap();
    let sums = model.accumulate_gradients(batch, 0.1, options).unwrap();
    (sums.read().unwrap().loss_sum, parameters.gradients.to_device(Device::Cpu).copy())
}

/// Loss and gradient of `model` are those expected, within the tolerances, and the same bits when they are computed again.
fn assert_learns(
    model: &CausalLm,
    batch: &ModelBatch,
    (expected, by_processor): (f64, &Tensor),
    (of_loss, of_gradient): (f64, f64),
    what: &str,
) {
    let options = StepOptions::default();
    let (loss, gradient) = learned(model, batch, &options);
    assert!((loss / expected - 1.0).abs() < of_loss, "{what}: {loss} {expected}");
    let off = off(&gradient, by_processor);
    assert!(off < of_gradient, "{what}: gradients are off by {off}");
    let (again, same) = learned(model, batch, &options);
    assert!(loss == again && gradient == same, "{what}: other bits again");
}

/// bf16 keeps 8 bits: as for the processor's kernel, a few 2^-9 of the largest terms.
#[test]
fn flash_attention_is_attention() {
    let Some(device) = cuda() else { return };
    if !kernels::has_flash_attention(device, Kind::BFloat16) {
        eprintln!("skipped: this device has no FlashAttention in bf16");
        return;
    }
    tch::manual_seed(11);
    for (rows, query, key, width, window) in [
        (vec![vec![64], vec![64]], 4, 4, 64, None),
        (vec![vec![333], vec![333]], 4, 2, 64, None),
        (vec![vec![100, 233], vec![333]], 9, 3, 64, None),
        // Padding at the end of the second row is a sequence of its own.
        (vec![vec![1, 150, 49], vec![120]], 8, 2, 128, None),
        (vec![vec![300], vec![300]], 4, 1, 96, Some(40)),
        (vec![vec![150, 150], vec![299]], 4, 2, 16, Some(100)),
        (vec![vec![7]], 2, 2, 128, Some(1_000)),
    ] {
        let heads = Heads { query, key, width };
        let length = rows.iter().map(|row: &Vec<usize>| row.iter().sum::<usize>()).max().unwrap();
        let sequences = Sequences::packed(length, rows.iter().map(|row| row.iter().copied()));
        let n = (rows.len() * length) as i64;
        let random = |columns| {
            Tensor::randn([n, columns], (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16)
        };
        let (qkv, dout) = (random(heads.columns()), random(query * width));
        let first = Tensor::from_slice(&sequences.first_keys(window));
        let (wide, wide_dout) = (qkv.to_kind(Kind::Float), dout.to_kind(Kind::Float));
        let t = length as i64;
        let (out, mut lse) = kernels::attention(&wide, &first, t, heads).unwrap();
        let kept = (&out, &mut lse);
        let dqkv = kernels::attention_backward(&wide_dout, &wide, &first, kept, t, heads).unwrap();

        let (qkv, dout) = (qkv.to_device(device), dout.to_device(device));
        let bounds = Tensor::from_slice(sequences.bounds()).to_device(device);
        let over = Over::new(&sequences, &bounds, window);
        let run = || {
            let (out, lse) = kernels::flash_attention(&qkv, over, heads).unwrap();
            let dqkv =
                kernels::flash_attention_backward(&dout, &qkv, over, (&out, &lse), heads).unwrap();
            (out, dqkv)
        };
        let (seen, dseen) = run();
        let what = format!("{rows:?} {heads:?} {window:?}");
        assert!(off(&seen, &out) < 5e-3, "{what}: {}", off(&seen, &out));
        assert!(off(&dseen, &dqkv) < 1e-2, "{what}: {}", off(&dseen, &dqkv));
        let (again, dagain) = run();
        assert!(seen == again && dseen == dagain, "{what}: other bits the second time");
    }
}

/// Losses and gradients of whole models: fp32 by libtorch's general operator, bf16 by `FlashAttention` and without it.
#[test]
fn models_learn_on_a_device_what_they_learn_on_the_processor() {
    let Some(device) = cuda() else { return };
    let options = StepOptions::default();
    for name in ["llama", "llama-bias", "llama-yarn", "mistral", "qwen2-window", "qwen3"] {
        let (a, b) = (gradients::ids(1, 90, 4), gradients::ids(1, 60, 5));
        let whole = |device| {
            let ids = gradients::ids(2, 150, 4);
            golden::batch_on(device, &ids, &ids)
        };
        let packed = |device| gradients::packed(&[&a, &b], device);
        for batch in [&whole as &dyn Fn(Device) -> ModelBatch, &packed] {
            let on_processor = gradients::adapted(name, 0.0);
            let (expected, by_processor) = learned(&on_processor, &batch(Device::Cpu), &options);
            for (kind, plain, of_loss, of_gradient) in [
                (Kind::Float, false, 1e-5, 1e-4),
                (Kind::Float, true, 1e-5, 1e-4),
                (Kind::BFloat16, true, 1e-2, 5e-2),
                (Kind::BFloat16, false, 1e-2, 5e-2),
            ] {
                let mut model = gradients::adapted_on(name, 0.0, device, kind);
                if plain {
                    model.set_plain();
                }
                let what = format!("{name} in {kind:?}, plain {plain}");
                let tolerances = (of_loss, of_gradient);
                assert_learns(&model, &batch(device), (expected, &by_processor), tolerances, &what);
            }
        }
    }
}

/// The same of the methods beside `LoRA`, on rows that are whole and rows that are packed.
#[test]
fn methods_learn_on_a_device_what_they_learn_on_the_processor() {
    let Some(device) = cuda() else { return };
    let options = StepOptions::default();
    let (a, b, c) = (gradients::ids(1, 90, 4), gradients::ids(1, 60, 5), gradients::ids(1, 40, 6));
    for name in methods::CASES {
        let whole = |device| {
            let ids = gradients::ids(2, 150, 4);
            golden::batch_on(device, &ids, &ids)
        };
        let packed = |device| methods::packed_on(device, [&a, &b, &c]);
        for batch in [&whole as &dyn Fn(Device) -> ModelBatch, &packed] {
            let on_processor = methods::trained(name);
            let (expected, by_processor) = learned(&on_processor, &batch(Device::Cpu), &options);
            for (kind, plain, of_loss, of_gradient) in [
                (Kind::Float, false, 1e-5, 1e-4),
                (Kind::BFloat16, true, 1e-2, 1e-1),
                (Kind::BFloat16, false, 1e-2, 1e-1),
            ] {
                let mut model = methods::trained_on(name, device, kind);
                if plain {
                    model.set_plain();
                }
                let what = format!("{name} in {kind:?}, plain {plain}");
                let tolerances = (of_loss, of_gradient);
                assert_learns(&model, &batch(device), (expected, &by_processor), tolerances, &what);
            }
        }
    }
}

#[test]
fn dropout_is_drawn_on_the_device_and_repeats() {
    let Some(device) = cuda() else { return };
    let model = gradients::adapted_on("llama", 0.3, device, Kind::Float);
    let ids = gradients::ids(2, 12, 1);
    let batch = golden::batch_on(device, &ids, &ids);
    let drops = StepOptions { dropout: Some(Rng::new(5, 5)), ..StepOptions::default() };
    let again = StepOptions { gradient_checkpointing: true, ..drops.clone() };
    let (_, dropped) = learned(&model, &batch, &drops);
    assert!(off(&learned(&model, &batch, &again).1, &dropped) < 1e-6);
    assert!(off(&learned(&model, &batch, &StepOptions::default()).1, &dropped) > 1e-2);
}

#[test]
fn rows_are_normed_on_the_device_as_by_the_formula() {
    let Some(device) = cuda() else { return };
    tch::manual_seed(5);
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 1e-2)] {
        for width in [64, 577, 2_048] {
            let random = |rows| Tensor::randn([rows, width], (Kind::Float, device)).to_kind(kind);
            let (x, dy, into) = (random(5), random(5), random(5));
            let norm = RmsNorm::new(random(1).view([-1]), 1e-5);
            let run = |by: Kernels| {
                let (y, rstd) = norm.forward(&x, by).unwrap();
                let mut dx = into.copy();
                norm.backward(&dy, &x, &rstd, &mut dx, by).unwrap();
                [y, rstd, dx]
            };
            for (seen, expected) in run(Kernels::Cuda).iter().zip(&run(Kernels::Plain)) {
                assert!(off(seen, expected) < tolerance, "width {width} in {kind:?}");
            }
        }
    }
}

#[test]
fn what_is_sent_arrives_and_is_counted() {
    let Some(device) = cuda() else { return };
    let numbers: Vec<i64> = (0..1 << 20).collect();
    let sent = device::send(&Tensor::from_slice(&numbers), device).unwrap();
    assert_eq!(sent.device(), device);
    assert_eq!(Vec::<i64>::try_from(sent.to_device(Device::Cpu)).unwrap(), numbers);
    let memory = device::memory(device).unwrap().unwrap();
    assert!(memory.peak >= 8 << 20 && memory.held >= 8 << 20, "{memory:?}");
}

#[test]
fn what_an_adapter_adds_in_bf16_is_not_rounded_away() {
    let Some(device) = cuda() else { return };
    lora::assert_small_parts_count(device);
}

#[test]
fn what_needs_a_device_says_so_on_the_processor() {
    let heads = Heads { query: 2, key: 1, width: 64 };
    assert!(!kernels::has_flash_attention(Device::Cpu, Kind::BFloat16));
    assert!(!Compute::new(Device::Cpu, Kind::BFloat16).flash);
    let qkv = Tensor::zeros([8, heads.columns()], (Kind::BFloat16, Device::Cpu));
    let sequences = Sequences::whole(1, 8);
    let bounds = Tensor::from_slice(sequences.bounds());
    let over = Over::new(&sequences, &bounds, None);
    let error = kernels::flash_attention(&qkv, over, heads).unwrap_err().to_string();
    assert!(error.contains("needs a CUDA device, not cpu"), "{error}");
    let out = Tensor::zeros([8, 128], (Kind::BFloat16, Device::Cpu));
    let lse = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
    let error = kernels::flash_attention_backward(&out, &qkv, over, (&out, &lse), heads);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("needs a CUDA device, not cpu"), "{error}");
    assert_eq!(device::memory(Device::Cpu).unwrap(), None);
}

/// The operators of the device's path that the processor has too.
#[test]
fn factors_of_dropout_keep_the_mean_and_repeat() {
    let device = Device::Cpu;
    let draw = |seed: u64| {
        let mut mask = Tensor::empty([1_000, 100], (Kind::BFloat16, device));
        kernels::dropout(&mut mask, seed, 0.75).unwrap();
        mask.to_kind(Kind::Float)
    };
    let mask = draw(7);
    assert!(mask == draw(7) && mask != draw(8));
    let mean = mask.mean(Kind::Float).double_value(&[]);
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
    let kept = mask.gt(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    assert!((kept - 0.75).abs() < 0.01, "{kept}");
    tch::manual_seed(5);
    let x = Tensor::randn([5, 64], (Kind::Float, device));
    let norm = RmsNorm::new(Tensor::randn([64], (Kind::Float, device)), 1e-5);
    let ((y, rstd), (plain, plain_rstd)) =
        (norm.forward(&x, Kernels::Cuda).unwrap(), norm.forward(&x, Kernels::Plain).unwrap());
    assert!(off(&y, &plain) < 1e-6 && off(&rstd, &plain_rstd) < 1e-6);
}
