//! Ten steps of fine-tuning give PEFT's losses and adapter (hyperparameters, tolerances and reasons: `gen/sft.py`).

use tch::Tensor;
use trainyard_trainer::arch::StepOptions;
use trainyard_trainer::objective::cross_entropy::LossSums;
use trainyard_trainer::optim::adamw::{AdamW, AdamWSettings};
use trainyard_trainer::optim::clip::{clip_scale, global_norm};
use trainyard_trainer::rng::Rng;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

use crate::{golden, gradients};

#[test]
fn ten_steps_match_peft() {
    let mut model = golden::model("llama");
    model.attach_lora(&gradients::settings(0.0), &mut Rng::new(0, 0)).unwrap();
    model
        .load_adapter(
            &SafetensorsSource::open_file(&golden::path("sft/initial.safetensors")).unwrap(),
        )
        .unwrap();
    let settings = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
    let mut adam = AdamW::new(model.parameters().share(), settings).unwrap();
    let read = |name| golden::tensor("sft/run.safetensors", name);
    let (inputs, labels, losses, norms) =
        (read("input_ids"), read("labels"), read("losses"), read("grad_norms"));
    for step in 0..10 {
        let target =
            labels.get(step).slice(2, 1, None, 1).ne(-100).sum(tch::Kind::Int64).int64_value(&[]);
        let mut sums = LossSums::default();
        for micro in 0..2 {
            let batch = golden::batch(&inputs.get(step).get(micro), &labels.get(step).get(micro));
            let options = StepOptions::default();
            sums.add(model.accumulate_gradients(&batch, 1.0 / target as f64, &options).unwrap())
                .unwrap();
        }
        let (stats, norm) = sums.read_with(&global_norm(&adam.gradients()).unwrap()).unwrap();
        adam.update(1e-2, clip_scale(norm, Some(0.5))).unwrap();
        assert_eq!(stats.target_tokens, target);
        let expected = losses.double_value(&[step]);
        assert!(
            (stats.mean_loss() / expected - 1.0).abs() < 1e-4,
            "step {step}: {} {expected}",
            stats.mean_loss()
        );
        let expected = norms.double_value(&[step]);
        assert!((norm / expected - 1.0).abs() < 1e-3, "step {step}: norm {norm} {expected}");
    }
    for (name, parameter) in model.parameters().named().unwrap() {
        let expected = golden::tensor("sft/final.safetensors", &name);
        let difference: Tensor = (&parameter - &expected).norm() / expected.norm();
        assert!(difference.double_value(&[]) < 1e-3, "{name}: {}", difference.double_value(&[]));
    }
}
