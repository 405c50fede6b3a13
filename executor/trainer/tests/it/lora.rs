//! What an adapter adds in bf16, where what it is added to is rounded to eight bits.

use tch::{Device, Kind, Tensor};
use trainyard_trainer::nn::compute::Compute;
use trainyard_trainer::nn::linear::Linear;
use trainyard_trainer::optim::parameters::Parameters;
use trainyard_trainer::peft::lora::{Lora, Pass};
use trainyard_trainer::rng::Rng;

use crate::gradients;

const ROWS: i64 = 512;
const IN: i64 = 64;
/// Outputs of two projections of one input, the second without an adapter.
const OUT: [i64; 2] = [256, 64];
const RANK: i64 = 4;

/// How much of `wanted` there is in `with - without`: 1 where roundings fall evenly on both sides, 0 where they take it away.
fn share(with: &Tensor, without: &Tensor, wanted: &Tensor) -> f64 {
    let seen = with.to_kind(Kind::Double) - without.to_kind(Kind::Double);
    let wanted = wanted.to_kind(Kind::Double);
    ((seen * &wanted).sum(Kind::Double) / wanted.square().sum(Kind::Double)).double_value(&[])
}

/// An adapter's part is about a tenth of a unit of what it is added to, seldom a half: rounded before, hardly any of it would be left. It has to be
/// there on average; 130,000 roundings of half a unit at most let the share swing by some hundredths.
pub(crate) fn assert_small_parts_count(device: Device) {
    tch::manual_seed(3);
    let random = |rows, columns| {
        let wide = Tensor::randn([rows, columns], (Kind::Float, Device::Cpu));
        wide.to_kind(Kind::BFloat16).to_device(device)
    };
    let parts = [("q_proj".to_string(), OUT[0]), ("k_proj".to_string(), OUT[1])];
    let shapes = vec![("a".to_string(), vec![RANK, IN]), ("b".to_string(), vec![OUT[0], RANK])];
    let parameters = Parameters::zeros(shapes, device).unwrap();
    let [a, b] = <[_; 2]>::try_from(parameters.each().unwrap()).unwrap();
    let (a_ri, mut b_or) = (a.value.shallow_clone(), b.value.shallow_clone());
    b_or.copy_(&(random(OUT[0], RANK).to_kind(Kind::Float) * 3e-4));
    let settings = gradients::settings(0.0);
    let compute = Compute::new(device, Kind::BFloat16);
    let pass = |adapter| Pass { adapter, dropout: None, units: None };
    let (x, onto, dy) =
        (random(ROWS, IN), random(ROWS, OUT[0] + OUT[1]), random(ROWS, OUT[0] + OUT[1]));
    let bias = random(1, OUT[0] + OUT[1]).view([-1]);
    let lora = Lora::new(a, b, &settings, 0, &mut Rng::new(1, 1)).unwrap();
    let mut linear = Linear::new(&parts, random(OUT[0] + OUT[1], IN) * 0.2, Some(bias));
    linear.projections[0].lora = Some(lora);

    let of_rows = |x: &Tensor, a: &Tensor| x.to_kind(Kind::Float).matmul(&a.tr());
    let wanted = of_rows(&of_rows(&x, &a_ri), &b_or) * settings.scale();
    for onto in [None, Some(&onto)] {
        let forward = |adapter| linear.forward(&x, onto, &compute, &pass(adapter)).unwrap().0;
        let (with, without) = (forward(true), forward(false));
        let own = |y: &Tensor| y.narrow(1, 0, OUT[0]);
        let share = share(&own(&with), &own(&without), &wanted);
        assert!((share - 1.0).abs() < 0.15, "onto {}: {share}", onto.is_some());
        // Nothing is added where there is no adapter.
        let others = |y: &Tensor| y.narrow(1, OUT[0], OUT[1]).to_kind(Kind::Float);
        let most = (others(&with) - others(&without)).abs().max().double_value(&[]);
        assert!(most <= 0.02 * others(&without).abs().max().double_value(&[]), "{most}");
    }

    let backward = |adapter| {
        let pass = pass(adapter);
        let (_, kept) = linear.forward(&x, None, &compute, &pass).unwrap();
        linear.backward(&dy, &x, &kept, &compute, &pass, true).unwrap().unwrap()
    };
    let own = dy.narrow(1, 0, OUT[0]).to_kind(Kind::Float);
    let wanted = own.matmul(&b_or).matmul(&a_ri) * settings.scale();
    let share = share(&backward(true), &backward(false), &wanted);
    assert!((share - 1.0).abs() < 0.15, "gradient of the input: {share}");
}

#[test]
fn what_an_adapter_adds_in_bf16_is_not_rounded_away() {
    assert_small_parts_count(Device::Cpu);
}
