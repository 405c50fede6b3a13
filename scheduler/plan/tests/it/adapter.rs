//! Methods: their defaults, what they refuse, and what is forecast of them.

use serde_json::{Value, json};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::extension::Progress;
use trainyard_openapi::job::CreateJob;
use trainyard_plan::{
    AdapterPlan, DataFacts, FullPlan, HeadPlan, Ia3Plan, ParentFacts, Plan, PrefixPlan, PromptPlan,
    StreamFacts, compatibility, memory_fit, resolve,
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

fn of(adapter: Value) -> Result<Plan, ApiError> {
    resolved(json!({"adapter": adapter}), &StreamFacts::default())
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// What a job shows is a request for the same, and a plan comes back from its bytes.
#[track_caller]
fn comes_back(plan: &Plan, shown: &Value) {
    let answer = serde_json::to_value(plan.extension(Progress::default(), None)).unwrap();
    assert_eq!(answer["adapter"], *shown);
    assert_eq!(of(answer["adapter"].clone()).unwrap().adapter, plan.adapter);
    let again: Plan = serde_json::from_str(&serde_json::to_string(plan).unwrap()).unwrap();
    assert_eq!(again, *plan);
}

#[test]
fn ia3_rescales_what_peft_would() {
    let plan = of(json!({"type": "ia3"})).unwrap();
    let chosen = Ia3Plan {
        target_modules: names(&["k_proj", "v_proj", "down_proj"]),
        feedforward_modules: names(&["down_proj"]),
    };
    assert_eq!((&plan.adapter, plan.optimizer.learning_rate), (&AdapterPlan::Ia3(chosen), 3e-3));
    comes_back(
        &plan,
        &json!({"type": "ia3", "target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]}),
    );
    let own = json!({"type": "ia3", "target_modules": ["gate_proj", "q_proj"], "feedforward_modules": ["gate_proj"]});
    comes_back(&of(own.clone()).unwrap(), &own);
    let none = json!({"type": "ia3", "target_modules": ["down_proj"], "feedforward_modules": []});
    comes_back(&of(none.clone()).unwrap(), &none);
    let apart = of(
        json!({"type": "ia3", "target_modules": ["q_proj"], "feedforward_modules": ["down_proj"]}),
    );
    let param = "trainyard.adapter.feedforward_modules";
    refused(apart, ErrorCode::InvalidValue, param, &["'down_proj'", "q_proj"]);
    refused(
        of(json!({"type": "ia3", "target_modules": []})),
        ErrorCode::InvalidValue,
        "trainyard.adapter.target_modules",
        &["256"],
    );
}

#[test]
fn virtual_tokens_leave_room_for_real_ones() {
    for (kind, plan) in [
        ("prompt", AdapterPlan::Prompt(PromptPlan { num_virtual_tokens: 20 })),
        ("prefix", AdapterPlan::Prefix(PrefixPlan { num_virtual_tokens: 20 })),
    ] {
        let default = of(json!({"type": kind})).unwrap();
        assert_eq!((&default.adapter, default.optimizer.learning_rate), (&plan, 1e-2));
        comes_back(&default, &json!({"type": kind, "num_virtual_tokens": 20}));
        let param = "trainyard.adapter.num_virtual_tokens";
        for (tokens, words) in
            [(0, "1024"), (1025, "1024"), (505, "'trainyard.sequence.max_length'")]
        {
            let plan = of(json!({"type": kind, "num_virtual_tokens": tokens}));
            refused(plan, ErrorCode::InvalidValue, param, &[words, &tokens.to_string()]);
        }
        let full = of(json!({"type": kind, "num_virtual_tokens": 504})).unwrap();
        assert_eq!((full.sequence.max_length, full.adapter.virtual_tokens()), (512, 504));
    }
}

#[test]
fn each_method_refuses_the_settings_of_others() {
    for (kind, field, value) in [
        ("ia3", "rank", json!(8)),
        ("ia3", "num_virtual_tokens", json!(8)),
        ("prompt", "target_modules", json!(["q_proj"])),
        ("prefix", "feedforward_modules", json!(["down_proj"])),
        ("head", "num_virtual_tokens", json!(8)),
        ("head", "alpha", json!(8.0)),
        ("lora", "num_virtual_tokens", json!(8)),
        ("lora", "feedforward_modules", json!(["down_proj"])),
    ] {
        let plan = of(json!({"type": kind, field: value}));
        let param = format!("trainyard.adapter.{field}");
        refused(plan, ErrorCode::InvalidValue, &param, &[&format!("'{kind}'"), "leave it out"]);
    }
    for kind in ["dora", "bottleneck"] {
        let plan = of(json!({"type": kind}));
        refused(plan, ErrorCode::NotAvailable, "trainyard.adapter.type", &[&format!("'{kind}'")]);
    }
}

/// They may be private; they have no stages, and are not gone on from.
#[test]
fn they_have_privacy_and_no_stages() {
    for kind in ["ia3", "prompt", "prefix", "head"] {
        let adapter = json!({"type": kind});
        let private = json!({"adapter": adapter, "privacy": {"target_epsilon": 8.0}});
        let private = resolved(private, &StreamFacts::default()).unwrap();
        assert!(private.privacy.is_some());
        let parent = ParentFacts {
            model: "ft:m:o::1".to_string(),
            manifest_sha256: "ab".to_string(),
            stages: vec!["stage-1".to_string()],
            adapter: of(adapter).unwrap().adapter,
            private: false,
        };
        let stream = StreamFacts { stage_examples: Vec::new(), parent: Some(parent) };
        let going_on = resolved(json!({}), &stream);
        refused(going_on, ErrorCode::NotAvailable, "model", &[&format!("'{kind}'")]);
    }
}

#[test]
fn what_they_take_and_who_loads_them() {
    let bytes = |adapter: Value| memory_fit(&of(adapter).unwrap(), &facts(), HOST).parts["adapter"];
    assert_eq!(bytes(json!({"type": "prompt"})), 20 * 576 * 18);
    assert_eq!(bytes(json!({"type": "prefix"})), 20 * 2 * 30 * 576 * 18);
    assert_eq!(bytes(json!({"type": "ia3"})), 3 * 1536 * 30 * 16);
    assert_eq!(bytes(json!({"type": "head"})), 49152 * 576 * 18);
    let private = json!({"adapter": {"type": "head"}, "privacy": {"target_epsilon": 8.0}});
    let private = resolved(private, &StreamFacts::default()).unwrap();
    let micro = u64::from(private.batching.micro_batch_size);
    let parts = memory_fit(&private, &facts(), HOST).parts;
    assert_eq!((parts["adapter"], parts["units"]), (49152 * 576 * 18, 49152 * 576 * 4 * micro));
    assert_eq!(of(json!({"type": "head"})).unwrap().adapter, AdapterPlan::Head(HeadPlan {}));
    for (kind, peft) in [("ia3", true), ("prompt", true), ("prefix", true), ("head", false)] {
        let forecast = compatibility(&of(json!({"type": kind})).unwrap());
        let accepted: Vec<bool> = forecast.iter().map(|one| one.accepted).collect();
        assert_eq!(accepted, [peft, false, false], "{kind}");
    }
}
