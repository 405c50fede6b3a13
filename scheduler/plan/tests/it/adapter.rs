//! Methods: their defaults, what they refuse, and what is forecast of them.

use serde_json::{Value, json};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::extension::Progress;
use trainyard_openapi::job::CreateJob;
use trainyard_plan::{
    AdapterPlan, DataFacts, FullPlan, ParentFacts, Plan, StreamFacts, compatibility, memory_fit,
    resolve,
};

use crate::{HOST, facts};

fn resolved(extension: Value, stream: &StreamFacts) -> Result<Plan, ApiError> {
    let request: CreateJob =
        serde_json::from_value(json!({"model": "m", "training_file": "f", "trainyard": extension}))
            .unwrap();
    resolve(&request, 5, DataFacts::of_examples(100), stream, &facts(), HOST)
}

fn full(more: Value) -> Result<Plan, ApiError> {
    let mut extension = json!({"adapter": {"type": "full"}});
    extension.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    resolved(extension, &StreamFacts::default())
}

#[track_caller]
fn refused(plan: Result<Plan, ApiError>, code: ErrorCode, param: &str, words: &[&str]) {
    let error = plan.unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (code, Some(param)), "{}", error.message);
    for word in words {
        assert!(error.message.contains(word), "'{word}' is not in: {}", error.message);
    }
}

#[test]
fn full_fine_tuning_has_a_rate_of_its_own_and_no_settings() {
    let plan = full(json!({})).unwrap();
    assert_eq!(plan.adapter, AdapterPlan::Full(FullPlan {}));
    assert_eq!(plan.optimizer.learning_rate, 2e-5);
    let shown = serde_json::to_value(plan.extension(Progress::default(), None)).unwrap();
    assert_eq!(shown["adapter"], json!({"type": "full"}));
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains(r#""adapter":{"type":"full"}"#), "{text}");
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again, plan);
    // What a job shows is a request for the same.
    let shown = json!({"adapter": shown["adapter"]});
    assert_eq!(resolved(shown, &StreamFacts::default()).unwrap().adapter, plan.adapter);
}

#[test]
fn settings_of_another_method_are_refused() {
    for (field, value) in [
        ("rank", json!(8)),
        ("alpha", json!(8.0)),
        ("dropout", json!(0.1)),
        ("target_modules", json!(["q_proj"])),
        ("rslora", json!(true)),
    ] {
        let plan = full(json!({"adapter": {"type": "full", field: value}}));
        let param = format!("trainyard.adapter.{field}");
        refused(plan, ErrorCode::InvalidValue, &param, &["'full'", "leave it out"]);
    }
    // What is the default counts as left out.
    full(json!({"adapter": {"type": "full", "rank": 16}})).unwrap();
}

#[test]
fn full_fine_tuning_has_no_stages() {
    let staged = full(json!({"continual": {"strategies": [{"type": "ema"}]}}));
    refused(staged, ErrorCode::InvalidValue, "validation_file", &[]);
    let stages = json!([{"name": "a", "training_file": "f", "validation_file": "v"},
                        {"name": "b", "training_file": "g", "validation_file": "w"}]);
    let request: CreateJob = serde_json::from_value(json!({"model": "m", "training_file": "f",
        "trainyard": {"adapter": {"type": "full"}, "continual": {"stages": stages}}}))
    .unwrap();
    let stream = StreamFacts { stage_examples: vec![10, 10], parent: None };
    let plan = resolve(&request, 5, DataFacts::of_examples(10), &stream, &facts(), HOST);
    refused(plan, ErrorCode::NotAvailable, "trainyard.continual", &["'full'"]);
}

#[test]
fn a_whole_model_is_not_gone_on_from() {
    let parent = ParentFacts {
        model: "ft:m:o::1".to_string(),
        manifest_sha256: "ab".to_string(),
        stages: vec!["stage-1".to_string()],
        adapter: AdapterPlan::Full(FullPlan {}),
        private: false,
    };
    let stream = StreamFacts { stage_examples: Vec::new(), parent: Some(parent) };
    let plan = resolved(json!({}), &stream);
    refused(plan, ErrorCode::NotAvailable, "model", &["'ft:m:o::1'", "'full'"]);
}

#[test]
fn every_weight_counts_with_its_gradient_and_moments() {
    let parts = |precision: &str| {
        memory_fit(&full(json!({"precision": precision})).unwrap(), &facts(), HOST).parts
    };
    let parameters = facts().parameters_estimate();
    assert_eq!((parts("bf16")["weights"], parts("bf16")["adapter"]), (0, 18 * parameters));
    assert_eq!(parts("fp32")["adapter"], 16 * parameters);
    assert_eq!(parts("bf16")["units"], 0);
}

#[test]
fn a_private_job_has_room_for_the_units_of_a_micro_batch() {
    let units = |extension: Value| {
        let mut extension = extension;
        extension["privacy"] = json!({"noise_multiplier": 1.0});
        extension["batching"] = json!({"micro_batch_size": 2});
        let request: CreateJob = serde_json::from_value(json!({"model": "m", "training_file": "f", "trainyard": extension,
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 64}}}}))
        .unwrap();
        let data = DataFacts::of_examples(1000);
        let plan = resolve(&request, 5, data, &StreamFacts::default(), &facts(), HOST).unwrap();
        memory_fit(&plan, &facts(), HOST).parts["units"]
    };
    let full = |precision: &str| json!({"adapter": {"type": "full"}, "precision": precision});
    let parameters = facts().parameters_estimate();
    // As many as the micro-batch has rows, whatever the batch is.
    assert_eq!(
        [units(full("bf16")), units(full("fp32"))],
        [2 * 2 * parameters, 2 * 4 * parameters]
    );
    assert!(units(json!({})) < units(full("fp32")) / 10);
}

#[test]
fn a_whole_model_is_for_those_who_load_models() {
    let forecast = compatibility(&full(json!({})).unwrap());
    let accepted: Vec<(&str, bool)> =
        forecast.iter().map(|one| (one.consumer.as_str(), one.accepted)).collect();
    assert_eq!(accepted, [("peft", false), ("vllm", true), ("llama.cpp", true)]);
    assert!(forecast[2].notes[0].contains("convert_hf_to_gguf.py"));
}
