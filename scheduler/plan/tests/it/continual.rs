//! Stages, strategies and earlier results: what is taken and what is refused.

use serde_json::{Value, json};
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Adapter, Progress, TargetModules};
use trainyard_openapi::job::CreateJob;
use trainyard_plan::{
    AdapterPlan, ContinualPlan, DataFacts, LoraPlan, ParentFacts, Plan, StreamFacts, compatibility,
    resolve,
};

use crate::{HOST, facts};

fn parent() -> ParentFacts {
    let Adapter { dropout, target_modules, .. } = Adapter::default();
    let lora = LoraPlan { rank: 24, alpha: 48.0, dropout, target_modules, rslora: false };
    ParentFacts {
        model: "ft:m:o::1".to_string(),
        manifest_sha256: "ab".to_string(),
        stages: vec!["law".to_string(), "stage-3".to_string()],
        adapter: AdapterPlan::Lora(lora),
        private: false,
    }
}

fn resolved(more: &Value, parent: Option<ParentFacts>) -> Result<Plan, ApiError> {
    let mut request = json!({"model": "m", "training_file": "a"});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request: CreateJob = serde_json::from_value(request).unwrap();
    let stages = request.trainyard.as_ref().and_then(|extension| extension.continual.as_ref());
    let stages = stages.and_then(|continual| continual.stages.as_ref());
    // 100, 200, 300, ... lines.
    let stage_examples = (1..=stages.map_or(0, Vec::len) as u64).map(|n| n * 100).collect();
    let stream = StreamFacts { stage_examples, parent };
    resolve(&request, 5, DataFacts::of_examples(100), &stream, &facts(), HOST)
}

fn stages(names: &[&str]) -> Value {
    let stage = |name: &&str| json!({"name": name, "training_file": name, "validation_file": format!("{name}-v")});
    names.iter().map(stage).collect()
}

fn continual(more: Value) -> Value {
    let mut continual = json!({"stages": stages(&["a", "b", "c"])});
    continual.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"trainyard": {"continual": continual}})
}

fn of(plan: Plan) -> ContinualPlan {
    plan.continual.unwrap()
}

#[track_caller]
fn refused(request: &Value, parent: Option<ParentFacts>, param: &str, words: &[&str]) {
    let error = resolved(request, parent).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
    for word in words {
        assert!(error.message.contains(word), "'{word}' is not in: {}", error.message);
    }
}

#[test]
fn a_stream_is_planned_and_shown() {
    let request = continual(
        json!({"strategies": [{"type": "replay", "ratio": 0.2}, {"type": "lwf"}, {"type": "ema"}], "held_out_file": "h",
        "max_forgetting": 0.5, "max_held_out_fall": 0.25, "order": "shuffled"}),
    );
    let plan = resolved(&request, None).unwrap();
    // 200 lines on average give a batch of 2; 600 lines then take 300 steps a pass, and three passes.
    assert_eq!((plan.batch_size, plan.epochs, plan.evaluation.every_steps), (2, 3, Some(90)));
    let shown = plan.extension(Progress::default(), None).continual.unwrap();
    assert_eq!(shown.stages.len(), 3);
    assert_eq!((shown.max_forgetting, shown.max_held_out_fall), (Some(0.5), Some(0.25)));
    let text = serde_json::to_string(&plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again, plan);
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

#[test]
fn joint_training_is_one_stage_of_all_lines() {
    let plan = resolved(&continual(json!({"strategies": [{"type": "joint"}]})), None).unwrap();
    assert_eq!((plan.batch_size, plan.evaluation.every_steps), (8, Some(23)));
}

#[test]
fn a_result_as_the_model_is_one_more_stage_with_its_adapter() {
    let plan = resolved(&json!({}), Some(parent())).unwrap();
    let lora = plan.adapter.lora().unwrap();
    assert_eq!((lora.rank, lora.alpha), (24, 48.0));
    let plan = of(plan);
    // "stage-3" is taken.
    assert_eq!((plan.stages.len(), plan.stages[0].name.as_str()), (1, "stage-4"));
    assert_eq!(plan.stages[0].validation_file, None, "it is not measured");
    let before = plan.parent.unwrap();
    assert_eq!((before.model.as_str(), before.stages.len()), ("ft:m:o::1", 2));
    let early = json!({"validation_file": "v", "trainyard": {"early_stopping": {"patience": 2}}});
    resolved(&early, Some(parent())).unwrap();
    assert!(resolved(&json!({}), None).unwrap().continual.is_none());
}

#[test]
fn another_adapter_than_the_results_is_refused() {
    let adapter = |value: Value| json!({"trainyard": {"adapter": value}});
    for (value, field) in [
        (json!({"rank": 8}), "rank"),
        (json!({"alpha": 7.0}), "alpha"),
        (json!({"rslora": true}), "rslora"),
        (json!({"target_modules": ["q_proj"]}), "target_modules"),
        (json!({"type": "ia3"}), "type"),
    ] {
        let param = format!("trainyard.adapter.{field}");
        refused(&adapter(value), Some(parent()), &param, &["'ft:m:o::1'", "leave it out"]);
    }
    resolved(&adapter(json!({"rank": 24, "alpha": 48.0})), Some(parent())).unwrap();
    let mut narrow = parent();
    let lora = narrow.adapter.lora().unwrap().clone();
    let target_modules = TargetModules::Names(vec!["q_proj".to_string()]);
    narrow.adapter = AdapterPlan::Lora(LoraPlan { target_modules, ..lora });
    let plan = resolved(&json!({}), Some(narrow.clone())).unwrap();
    assert_eq!(plan.adapter, narrow.adapter);
    let own = json!({"trainyard": {"adapter": {"rank": 8}, "continual": {"strategies": [{"type": "o_lora"}]}},
                     "validation_file": "v"});
    let adapter = resolved(&own, Some(narrow)).unwrap().adapter;
    let lora = adapter.lora().unwrap();
    assert_eq!((lora.rank, lora.alpha), (8, 32.0), "a stage's own adapter has its own scale");
}

#[test]
fn ranks_that_add_up_to_too_much_are_refused_with_the_figures() {
    let grow = |strategy: &str, rank: u32| json!({"trainyard": {"adapter": {"rank": rank}, "continual": {"stages": stages(&["a", "b", "c"]), "strategies": [{"type": strategy}]}}});
    for strategy in ["o_lora", "merge"] {
        let words = [strategy, "3 x 171 make 513", "512"];
        refused(&grow(strategy, 171), None, "trainyard.adapter.rank", &words);
        resolved(&grow(strategy, 170), None).unwrap();
        let words = ["24 of 'ft:m:o::1' and 3 x 163 make 513"];
        refused(&grow(strategy, 163), Some(parent()), "trainyard.adapter.rank", &words);
        resolved(&grow(strategy, 162), Some(parent())).unwrap();
    }
}

#[test]
fn stages_that_do_not_hold_together_are_refused() {
    let path = "trainyard.continual.stages";
    let named = |names: &[&str]| continual(json!({"stages": stages(names)}));
    refused(&named(&[]), None, path, &["1 to 256", "not 0"]);
    let many: Vec<String> =
        (0..257).map(|n| if n == 0 { "a".into() } else { format!("s{n}") }).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused(&named(&many), None, path, &["not 257"]);
    refused(&named(&many[..255]), Some(parent()), path, &["not 255 after the 2 of the model"]);
    resolved(&named(&many[..254]), Some(parent())).unwrap();
    refused(&named(&["a", "a"]), None, &format!("{path}[1].name"), &["'a' stands there twice"]);
    refused(&named(&["a", "law"]), Some(parent()), &format!("{path}[1].name"), &["went through"]);
    for bad in ["", " b", "=b", "b\u{1}"] {
        refused(&named(&["a", bad]), None, &format!("{path}[1].name"), &["stage name"]);
    }
    refused(&named(&["b", "a"]), None, "training_file", &["'b', not 'a'"]);
    let mut own = continual(json!({}));
    own["validation_file"] = json!("v");
    refused(&own, None, "validation_file", &["each stage has its own"]);
    let mut early = continual(json!({}));
    early["trainyard"]["early_stopping"] = json!({"patience": 1});
    refused(&early, None, "trainyard.early_stopping", &["must be null"]);
}

#[test]
fn what_is_not_measured_is_not_limited() {
    let bare = |count: usize, more: Value| {
        let names = ["a", "b"];
        let stage = |name: &&str| json!({"name": name, "training_file": name});
        let mut continual = json!({"stages": names[..count].iter().map(stage).collect::<Vec<_>>()});
        continual.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"trainyard": {"continual": continual}})
    };
    let param = "trainyard.continual.stages[0].validation_file";
    refused(&bare(1, json!({})), None, param, &["is needed"]);
    refused(&bare(2, json!({})), Some(parent()), param, &["every stage of several"]);
    refused(&bare(1, json!({"max_forgetting": 0.1})), Some(parent()), param, &["a limit is set"]);
    resolved(&bare(1, json!({})), Some(parent())).unwrap();
    let implied = json!({"trainyard": {"continual": {"max_forgetting": 0.1}}});
    refused(&implied, Some(parent()), "validation_file", &["is needed"]);
}

#[test]
fn limits_and_the_held_out_file_are_checked() {
    let path = |field: &str| format!("trainyard.continual.{field}");
    for (field, value) in
        [("max_forgetting", -0.1), ("max_forgetting", 1001.0), ("max_held_out_fall", -1.0)]
    {
        let request = continual(json!({field: value, "held_out_file": "h"}));
        refused(&request, None, &path(field), &["between 0 and 1000", &value.to_string()]);
    }
    let fall = continual(json!({"max_held_out_fall": 0.1}));
    refused(&fall, None, &path("max_held_out_fall"), &["held_out_file"]);
    refused(
        &continual(json!({"held_out_file": "b"})),
        None,
        &path("held_out_file"),
        &["stage 'b'"],
    );
    let joint = json!({"strategies": [{"type": "joint"}], "order": "shuffled"});
    refused(&continual(joint), None, &path("order"), &["as_given"]);
}

#[test]
fn settings_of_strategies_outside_their_limits_are_refused() {
    for (strategy, field, seen) in [
        (json!({"type": "replay", "ratio": 0.0}), "ratio", "0"),
        (json!({"type": "replay", "ratio": 0.91}), "ratio", "0.91"),
        (json!({"type": "replay", "capacity": 0}), "capacity", "0"),
        (json!({"type": "replay", "capacity": 2}), "capacity", "3 stages"),
        (json!({"type": "replay", "capacity": 1_000_001}), "capacity", "1000001"),
        (json!({"type": "derpp", "capacity": 100_001}), "capacity", "100001"),
        (json!({"type": "derpp", "alpha": -1.0}), "alpha", "-1"),
        (json!({"type": "derpp", "beta": -1.0}), "beta", "-1"),
        (json!({"type": "derpp", "top_k": 257}), "top_k", "257"),
        (json!({"type": "ewc", "lambda": 0.0}), "lambda", "0"),
        (json!({"type": "ewc", "decay": 0.5}), "decay", "online"),
        (json!({"type": "ewc", "online": true, "decay": 1.5}), "decay", "1.5"),
        (json!({"type": "ewc", "samples": 0}), "samples", "0"),
        (json!({"type": "lwf", "alpha": 0.0}), "alpha", "0"),
        (json!({"type": "lwf", "temperature": 0.0}), "temperature", "0"),
        (json!({"type": "a_gem", "batch_size": 257}), "batch_size", "257"),
        (json!({"type": "a_gem", "capacity": 0}), "capacity", "0"),
        (json!({"type": "o_lora", "orthogonality": -0.5}), "orthogonality", "-0.5"),
        (json!({"type": "o_lora", "norm": -0.5}), "norm", "-0.5"),
        (json!({"type": "ema", "decay": 1.0}), "decay", "1"),
        (json!({"type": "merge", "weights": [1.0]}), "weights", "3 stages"),
        (json!({"type": "merge", "weights": [1.0, 0.0, 1.0]}), "weights[1]", "0"),
    ] {
        let param = format!("trainyard.continual.strategies[0].{field}");
        refused(&continual(json!({"strategies": [strategy]})), None, &param, &[seen]);
    }
}

#[test]
fn strategies_go_together_or_are_refused_with_both_names() {
    let all = ["replay", "derpp", "ewc", "lwf", "a_gem", "o_lora", "ema", "merge", "joint"];
    let apart = |one: &str, other: &str| {
        let pair = |a, b| (one, other) == (a, b) || (one, other) == (b, a);
        let has = |name| one == name || other == name;
        one == other
            || has("joint")
            || pair("derpp", "replay")
            || pair("o_lora", "ewc")
            || pair("o_lora", "ema")
            || (has("merge") && !has("replay"))
    };
    for one in all {
        for other in all {
            let request = continual(json!({"strategies": [{"type": one}, {"type": other}]}));
            match apart(one, other) {
                true => {
                    let param = "trainyard.continual.strategies[1]";
                    refused(&request, None, param, &[&format!("'{one}'"), &format!("'{other}'")]);
                }
                false => assert!(resolved(&request, None).is_ok(), "{one} and {other}"),
            }
        }
    }
}

#[test]
fn a_private_job_goes_on_with_nothing_that_looks_twice() {
    let private = |continual: Value| {
        json!({"method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 10, "n_epochs": 2}}},
            "trainyard": {"privacy": {"noise_multiplier": 1.0}, "continual": continual}})
    };
    let param = "trainyard.privacy";
    refused(&private(json!(null)), Some(parent()), param, &["not available", "earlier result"]);
    let ema =
        json!({"strategies": [{"type": "ema"}], "stages": [{"name": "a", "training_file": "a"}]});
    refused(&private(ema), Some(parent()), param, &["not available", "earlier result"]);
    let one = |more: Value| {
        let mut one = json!({"stages": stages(&["a"])});
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        private(one)
    };
    for strategy in ["replay", "derpp", "ewc", "lwf", "a_gem", "o_lora", "merge", "joint"] {
        let request = one(json!({"strategies": [{"type": strategy}]}));
        let param = "trainyard.continual.strategies[0]";
        refused(&request, Some(parent()), param, &[strategy, "private job"]);
    }
    let several = private(json!({"stages": stages(&["a", "b"])}));
    refused(&several, None, "trainyard.continual.stages", &["one file"]);
    for (field, value) in [
        ("held_out_file", json!("h")),
        ("max_forgetting", json!(0.1)),
        ("order", json!("shuffled")),
    ] {
        let param = format!("trainyard.continual.{field}");
        refused(&one(json!({field: value})), Some(parent()), &param, &["private job"]);
    }
}

#[test]
fn consumers_are_told_of_the_rank_that_comes_out() {
    let note = |strategies: Value, parent: Option<ParentFacts>| {
        let request = json!({"trainyard": {"adapter": {"rank": 16}, "continual": {
            "stages": stages(&["a", "b", "c"]), "strategies": strategies}}});
        let plan = resolved(&request, parent).unwrap();
        let vllm = compatibility(&plan).into_iter().find(|one| one.consumer == "vllm").unwrap();
        vllm.notes.join("; ")
    };
    assert_eq!(note(json!([]), None), "");
    // 3 x 16, and with an earlier result of rank 24.
    assert_eq!(note(json!([{"type": "merge"}]), None), "start vLLM with --max-lora-rank 64");
    let grown = note(json!([{"type": "o_lora"}]), Some(parent()));
    assert_eq!(grown, "start vLLM with --max-lora-rank 128");
}

#[test]
fn private_stages_are_not_read_again() {
    let request = |strategy: &str| json!({"validation_file": "v", "trainyard": {"continual": {"strategies": [{"type": strategy}]}}});
    let private = ParentFacts { private: true, ..parent() };
    for strategy in ["replay", "derpp", "a_gem", "ewc"] {
        let param = "trainyard.continual.strategies[0]";
        refused(&request(strategy), Some(private.clone()), param, &[strategy, "'ft:m:o::1'"]);
    }
    for strategy in ["lwf", "o_lora", "ema", "merge"] {
        resolved(&request(strategy), Some(private.clone())).unwrap();
    }
}
