//! The kernels give what plain tensor operations give: losses and gradients of whole models, in fp32 and bf16.

use tch::{Device, Kind, Tensor};
use trainyard_trainer::arch::{CausalLm, ModelBatch, StepOptions};
use trainyard_trainer::nn::norm::RmsNorm;
use trainyard_trainer::nn::swiglu;

use crate::{golden, gradients};

/// fp32: both paths round each operation once, in another order. Sums of some hundred terms differ in the sixth digit at most.
const FP32: f64 = 1e-5;

fn both(name: &str, batch: &ModelBatch) -> [(f64, Vec<Tensor>); 2] {
    let run = |model: &CausalLm| {
        let stats = model.accumulate_gradients(batch, 0.1, &StepOptions::default()).unwrap();
        let parameters = model.parameters();
        (stats.loss_sum, parameters.views(&parameters.gradients.copy()).unwrap())
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
            let ((y, rstd), (plain_y, plain_rstd)) =
                (norm.forward(&x, true).unwrap(), norm.forward(&x, false).unwrap());
            close(&y, &plain_y, "norm");
            close(&rstd, &plain_rstd, "root");
            let mut dx = of(random(5, width));
            let mut plain_dx = dx.copy();
            norm.backward(&dy, &x, &rstd, &mut dx, true).unwrap();
            norm.backward(&dy, &x, &rstd, &mut plain_dx, false).unwrap();
            close(&dx, &plain_dx, "gradient of the norm");
            let gate_up = of(random(5, 2 * width) * 10.0);
            let forward = |fused| swiglu::forward(&gate_up, fused).unwrap();
            close(&forward(true), &forward(false), "gated unit");
            let backward = |fused| swiglu::backward(&dy, gate_up.copy(), fused).unwrap();
            close(&backward(true), &backward(false), "gradient of the gated unit");
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let gate_up =
        Tensor::from_slice(&[f32::NAN, f32::INFINITY, -200.0, 1.0, 1.0, 1.0]).view([1, 6]);
    let h = Vec::<f32>::try_from(swiglu::forward(&gate_up, true).unwrap().view([-1])).unwrap();
    assert!(h[0].is_nan() && h[1] == f32::INFINITY && h[2] == 0.0, "{h:?}");
    let norm = RmsNorm::new(Tensor::ones([2], (Kind::Float, Device::Cpu)), 1e-5);
    let (y, _) = norm.forward(&Tensor::from_slice(&[f32::NAN, 1.0]).view([1, 2]), true).unwrap();
    assert!(y.isnan().all().int64_value(&[]) == 1);
}

#[test]
fn tensors_that_a_kernel_cannot_take_are_refused() {
    let norm = RmsNorm::new(Tensor::ones([4], (Kind::Float, Device::Cpu)), 1e-5);
    let ints = Tensor::ones([2, 4], (Kind::Int64, Device::Cpu));
    let error = norm.forward(&ints, true).unwrap_err().to_string();
    assert!(error.contains("fp32 or bf16") && error.lines().count() == 1, "{error}");
    let apart = Tensor::ones([4, 2], (Kind::Float, Device::Cpu)).transpose(0, 1);
    assert!(norm.forward(&apart, true).unwrap_err().to_string().contains("dense"));
}
