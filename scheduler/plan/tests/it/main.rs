//! Requests to plans.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod adapter;
mod continual;

use serde_json::{Value, json};
use trainyard_openapi::auto::Auto;
use trainyard_openapi::extension::{Overlong, Precision, Progress};
use trainyard_openapi::job::CreateJob;
use trainyard_plan::{DataFacts, HostFacts, ModelFacts, Plan, StreamFacts, resolve};

fn facts() -> ModelFacts {
    let config = json!({"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                        "vocab_size": 49152, "max_position_embeddings": 512});
    ModelFacts::from_config(&config).unwrap()
}

const HOST: HostFacts = HostFacts { cuda: false, fast_bf16: true, memory_bytes: 16 << 30 };

fn plan(more: Value, examples: u64, host: HostFacts) -> Plan {
    let mut request = json!({"model": "m", "training_file": "f"});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request: CreateJob = serde_json::from_value(request).unwrap();
    let (data, stream) = (DataFacts::of_examples(examples), StreamFacts::default());
    resolve(&request, 5, data, &stream, &facts(), host).unwrap()
}

#[test]
fn every_auto_is_resolved() {
    let plan = plan(json!({}), 1000, HOST);
    assert_eq!((plan.seed, plan.epochs, plan.batch_size), (5, 3, 8));
    assert_eq!((plan.precision, plan.batching.micro_batch_size), (Precision::Bf16, 4));
    assert_eq!(plan.optimizer.learning_rate, 2e-4);
    // The default length must not make a model of a shorter context unusable.
    assert_eq!((plan.sequence.max_length, plan.sequence.overlong), (512, Overlong::Truncate));
    assert_eq!(plan.evaluation.every_steps, Some(38), "ten looks at 375 steps");
    let answer = plan.extension(Progress::default(), None);
    assert_eq!(answer.precision, Auto::Value(Precision::Bf16));
    assert_eq!(answer.optimizer.learning_rate, Some(2e-4));
}

#[test]
fn small_files_get_small_batches_and_more_epochs() {
    let shape = |examples| {
        let plan = plan(json!({}), examples, HOST);
        (plan.batch_size, plan.epochs)
    };
    assert_eq!(
        [shape(0), shape(10), shape(100), shape(200), shape(1000), shape(1 << 20)],
        [(1, 10), (1, 10), (1, 3), (2, 3), (8, 3), (16, 3)]
    );
}

#[test]
fn the_machine_decides_format_and_recomputation() {
    let slow = HostFacts { fast_bf16: false, ..HOST };
    assert_eq!(plan(json!({}), 100, slow).precision, Precision::Fp32);
    let small = HostFacts { memory_bytes: 1 << 30, ..HOST };
    let request = json!({"method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 8}}}});
    assert!(plan(request.clone(), 100, small).batching.gradient_checkpointing);
    assert!(!plan(request, 100, HOST).batching.gradient_checkpointing);
}

#[test]
fn a_clients_own_values_stand() {
    let request = json!({
        "seed": 9,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 2, "n_epochs": 7, "learning_rate_multiplier": 0.5}}},
        "trainyard": {"precision": "fp32", "sequence": {"max_length": 64, "packing": false}, "evaluation": {"every_steps": 4}},
    });
    let plan = plan(request, 1000, HOST);
    assert_eq!((plan.seed, plan.batch_size, plan.epochs), (9, 2, 7));
    assert_eq!((plan.optimizer.learning_rate, plan.precision), (1e-4, Precision::Fp32));
    assert_eq!((plan.sequence.max_length, plan.sequence.packing), (64, Auto::Value(false)));
    assert_eq!(plan.evaluation.every_steps, Some(4));
}

/// A checkpoint is bound to the plan's bytes: they must survive the way through a file.
#[test]
fn plans_come_back_from_json_to_the_bit() {
    for rate in [0.1 + 0.2, 1e-4 / 3.0, 5e-324, 9.999_999_999_999_999e-5] {
        let plan = plan(json!({"trainyard": {"optimizer": {"learning_rate": rate}}}), 100, HOST);
        let text = serde_json::to_string(&plan).unwrap();
        let again: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert_eq!(again.optimizer.learning_rate.to_bits(), plan.optimizer.learning_rate.to_bits());
    }
}

#[test]
fn configurations_that_do_not_hold_together_are_refused() {
    for (config, key) in [
        (json!({}), "model_type"),
        (json!({"model_type": "llama", "hidden_size": -1}), "hidden_size"),
    ] {
        let error = ModelFacts::from_config(&config).unwrap_err();
        assert!(error.message.contains(key), "{}", error.message);
    }
}
