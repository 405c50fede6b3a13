//! The kernels give what plain tensor operations give: losses and gradients of whole models, in fp32 and bf16.

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::kernels::{self, Heads};
use trainyard_trainer::nn::compute::Kernels;
use trainyard_trainer::nn::norm::RmsNorm;
use trainyard_trainer::nn::swiglu;

use crate::{golden, gradients};

/// fp32: both paths round each operation once, in another order. Sums of some hundred terms differ in the sixth digit at most.
const FP32: f64 = 1e-5;

fn both(name: &str, batch: &ModelBatch) -> [(f64, Vec<Tensor>); 2] {
    let run = |model: &CausalLm| {
        let stats = model.accumulate_gradients(batch, 0.1, &StepOptions::default()).unwrap();
        let parameters = model.parameters();
        (stats.read().unwrap().loss_sum, parameters.views(&parameters.gradients.copy()).unwrap())
    };
    let fused = gradients::adapted(name, 0.0);
    let mut plain = gradients::adapted(name, 0.0);
    plain.set_plain();
    [run(&fused), run(&plain)]
}

#[test]
fn models_learn_the_same_by_kernels_and_by_plain_operations() {
    for name in ["llama", "llama-bias", "llama-yarn", "mistral", "qwen2-window", "qwen3"] {
        // Longer than a tile of the attention.
        let ids = gradients::ids(2, 150, 4);
        let [(loss, fused), (expected, plain)] = both(name, &golden::batch(&ids, &ids));
        assert!((loss / expected - 1.0).abs() < FP32, "{name}: {loss} {expected}");
        assert_eq!(fused.len(), plain.len());
        for (fused, plain) in fused.iter().zip(&plain) {
            let size = plain.norm().double_value(&[]);
            let difference = (fused - plain).norm().double_value(&[]);
            assert!(size > 0.0 && difference / size < FP32, "{name}: {difference} of {size}");
        }
    }
}

#[test]
fn rows_in_both_formats_are_those_of_plain_operations() {
    tch::manual_seed(5);
    let random =
        |rows: i64, columns: i64| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu)) * 3.0;
    // fp32: slopes of the gated unit are products of five factors, and 1 - sigmoid loses digits. bf16 keeps 8 bits: two roundings that fall on either side differ by one unit of 2^-8, and sums of such by a few.
    for (kind, tolerance) in [(Kind::Float, 5e-6), (Kind::BFloat16, 1.5e-2)] {
        for width in [1, 7, 64, 577] {
            let of = |tensor: Tensor| tensor.to_kind(kind);
            let close = |a: &Tensor, b: &Tensor, what: &str| {
                let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
                let most = ((&a - &b).abs() / (b.abs() + 1.0)).max().double_value(&[]);
                assert!(most < tolerance, "{what} of width {width} in {kind:?}: {most}");
            };
            let (x, dy) = (of(random(5, width)), of(random(5, width)));
            let norm = RmsNorm::new(of(random(1, width).view([-1])), 1e-5);
            let ((y, rstd), (plain_y, plain_rstd)) = (
                norm.forward(&x, Kernels::Processor).unwrap(),
                norm.forward(&x, Kernels::Plain).unwrap(),
            );
            close(&y, &plain_y, "norm");
            close(&rstd, &plain_rstd, "root");
            let mut dx = of(random(5, width));
            let mut plain_dx = dx.copy();
            norm.backward(&dy, &x, &rstd, &mut dx, Kernels::Processor).unwrap();
            norm.backward(&dy, &x, &rstd, &mut plain_dx, Kernels::Plain).unwrap();
            close(&dx, &plain_dx, "gradient of the norm");
            let gate_up = of(random(5, 2 * width) * 10.0);
            let forward = |by| swiglu::forward(&gate_up, by).unwrap();
            let backward = |by| swiglu::backward(&dy, gate_up.copy(), by).unwrap();
            for by in [Kernels::Processor, Kernels::Cuda] {
                close(&forward(by), &forward(Kernels::Plain), "gated unit");
                close(&backward(by), &backward(Kernels::Plain), "gradient of the gated unit");
            }
        }
    }
}

/// bf16 keeps 8 bits: probabilities, their gradients and the results are each rounded once, so that a sum of such is off by a few 2^-9 of
/// its largest terms. `FlashAttention` rounds in the same places.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "who reads the test's output has to see that it was skipped"
)]
fn attention_in_bf16_is_that_in_fp32_but_for_rounding() {
    if !kernels::has_narrow_products() {
        eprintln!("skipped: this processor has no products of bf16 numbers");
        return;
    }
    tch::manual_seed(7);
    // One row, a whole tile, tiles and blocks that are not full; heads that share keys; narrow and wide heads; windows and packed rows.
    for (length, query, key, width, window) in [
        (1, 2, 1, 64, i64::MAX),
        (64, 4, 2, 16, i64::MAX),
        (150, 9, 3, 64, i64::MAX),
        (150, 3, 3, 34, 40),
        (333, 2, 1, 128, 100),
        // Longer than 32 blocks of the least size.
        (1_100, 2, 1, 16, i64::MAX),
        (1_100, 1, 1, 16, 300),
    ] {
        let heads = Heads { query, key, width };
        let random = |columns| {
            let tensor = Tensor::randn([2 * length, columns], (Kind::Float, Device::Cpu));
            tensor.to_kind(Kind::BFloat16)
        };
        let (qkv, dout) = (random(heads.columns()), random(query * width));
        // The second row holds two sequences.
        let own = |row: i64, i: i64| {
            let begin = if row == 1 && i >= length / 3 { length / 3 } else { 0 };
            begin.max(i.saturating_sub(window.saturating_sub(1))) as i32
        };
        let first: Vec<i32> =
            (0..2).flat_map(|row| (0..length).map(move |i| own(row, i))).collect();
        let first = Tensor::from_slice(&first);
        let run = |kind: Kind| {
            let (qkv, dout) = (qkv.to_kind(kind), dout.to_kind(kind));
            let (out, mut lse) = kernels::attention(&qkv, &first, length, heads).unwrap();
            let kept = (&out, &mut lse);
            let dqkv =
                kernels::attention_backward(&dout, &qkv, &first, kept, length, heads).unwrap();
            [out, lse, dqkv].map(|tensor| tensor.to_kind(Kind::Double))
        };
        for (narrow, wide) in run(Kind::BFloat16).iter().zip(&run(Kind::Float)) {
            let off = (narrow - wide).norm().double_value(&[]) / wide.norm().double_value(&[]);
            let most = (narrow - wide).abs().max().double_value(&[]);
            let largest = wide.abs().max().double_value(&[]);
            assert!(off < 5e-3, "{length} {heads:?}: {off}");
            assert!(most < 2e-2 * largest, "{length} {heads:?}: {most} of {largest}");
        }
    }
}

/// Beside fp64, for rows as wide as a vocabulary too. Where old and new are nearly alike the divergence is a small difference of sums near 1, of
/// logits that are rounded at 1e-7 of themselves, 3e-7 here: hence the absolute part.
#[test]
fn divergences_are_those_of_doubles() {
    tch::manual_seed(6);
    for (width, apart) in [(1, 1.0), (7, 3.0), (49_152, 1e-2), (49_152, 5.0)] {
        for temperature in [1.0, 2.0] {
            let random = || Tensor::randn([5, width], (Kind::Float, Device::Cpu));
            let new = random() * 4.0;
            let old = &new + random() * apart;
            let log = |logits: &Tensor| {
                (logits.to_kind(Kind::Double) / temperature).log_softmax(-1, Kind::Double)
            };
            let (log_new, log_old) = (log(&new), log(&old));
            let terms = log_old.exp() * (&log_old - &log_new);
            let expected = terms.sum_dim_intlist([-1_i64].as_slice(), false, Kind::Double);
            let pull = (log_new.exp() - log_old.exp()) * 0.25;
            let mut own = old.copy();
            let seen = kernels::divergence(&new, &mut own, temperature, 0.25).unwrap();
            let most = |x: Tensor| x.abs().max().double_value(&[]);
            let off = most(seen.to_kind(Kind::Double) - &expected);
            let what = format!("width {width}, {apart} apart, at {temperature}");
            assert!(off < 1e-5 * most(expected) + 1e-6, "{what}: {off}");
            let off = most(own.to_kind(Kind::Double) - pull);
            // A difference of probabilities has their error.
            let likeliest = most(log_new.exp()).max(most(log_old.exp()));
            assert!(off <= 2e-6 * 0.25 * likeliest, "{what}: gradient {off}");
        }
    }
    let mut old = Tensor::zeros([1, 3], (Kind::Float, Device::Cpu));
    let new = Tensor::from_slice(&[0.0_f32, f32::NAN, 0.0]).view([1, 3]);
    let seen = kernels::divergence(&new, &mut old, 1.0, 1.0).unwrap();
    assert!(seen.double_value(&[0]).is_nan(), "a run that diverged must be seen");
}

#[test]
fn what_is_no_number_stays_none() {
    let gate_up =
        Tensor::from_slice(&[f32::NAN, f32::INFINITY, -200.0, 1.0, 1.0, 1.0]).view([1, 6]);
    let h = Vec::<f32>::try_from(swiglu::forward(&gate_up, Kernels::Processor).unwrap().view([-1]))
        .unwrap();
    assert!(h[0].is_nan() && h[1] == f32::INFINITY && h[2] == 0.0, "{h:?}");
    let norm = RmsNorm::new(Tensor::ones([2], (Kind::Float, Device::Cpu)), 1e-5);
    let (y, _) = norm
        .forward(&Tensor::from_slice(&[f32::NAN, 1.0]).view([1, 2]), Kernels::Processor)
        .unwrap();
    assert!(y.isnan().all().int64_value(&[]) == 1);
}

#[test]
fn tensors_that_a_kernel_cannot_take_are_refused() {
    let norm = RmsNorm::new(Tensor::ones([4], (Kind::Float, Device::Cpu)), 1e-5);
    let ints = Tensor::ones([2, 4], (Kind::Int64, Device::Cpu));
    let error = norm.forward(&ints, Kernels::Processor).unwrap_err().to_string();
    assert!(error.contains("fp32 or bf16") && error.lines().count() == 1, "{error}");
    let apart = Tensor::ones([4, 2], (Kind::Float, Device::Cpu)).transpose(0, 1);
    assert!(norm.forward(&apart, Kernels::Processor).unwrap_err().to_string().contains("dense"));
}
