//! Whole runs of the methods beside `LoRA`: they learn, in private too, write what loads again, and go on after a kill with the same bits.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trainyard_plan::trainer::TrainerEvent;
use trainyard_trainer::weights::WeightSource;
use trainyard_trainer::weights::safetensors::SafetensorsSource;

use crate::trainer::{Ended, Place, Running, names, request};

/// Each method with a rate at which it learns, its file of weights, and its first tensor.
const METHODS: [(&str, f64, &str, &str, &[i64]); 4] = [
    ("ia3", 0.1, PEFT, "base_model.model.model.layers.0.self_attn.k_proj.ia3_l", &[32, 1]),
    ("prompt", 0.05, PEFT, "prompt_embeddings", &[4, 64]),
    ("prefix", 0.05, PEFT, "prompt_embeddings", &[4, 128]),
    ("head", 0.01, "head.safetensors", "lm_head.weight", &[384, 64]),
];
const PEFT: &str = "adapter_model.safetensors";

fn of(method: &str, rate: f64, epochs: u32) -> Value {
    let mut request = request(epochs);
    request["trainyard"]["adapter"] = match method {
        "prompt" | "prefix" => json!({"type": method, "num_virtual_tokens": 4}),
        _ => json!({"type": method}),
    };
    request["trainyard"]["optimizer"]["learning_rate"] = json!(rate);
    request
}

fn losses(ended: &Ended) -> (f64, f64) {
    let Some(TrainerEvent::Finished(finished)) = ended.events.last() else {
        panic!("{:?}: {}", ended.events.last(), ended.stderr)
    };
    (finished.initial_valid_loss.unwrap(), finished.valid_loss.unwrap())
}

#[test]
fn they_learn_and_write_what_loads() {
    for (method, rate, weights, tensor, shape) in METHODS {
        for packing in [false, true] {
            let mut request = of(method, rate, 6);
            request["trainyard"]["sequence"] = json!({"max_length": 128, "packing": packing});
            let place = Place::new(&request);
            let ended = place.run("out", &[]);
            assert_eq!(ended.code, Some(0), "{method}: {}", ended.stderr);
            let (before, after) = losses(&ended);
            assert!(after < before - 0.3, "{method}: validation loss {before} -> {after}");
            let files = names(&place.path("out/adapter"));
            assert!(files.iter().any(|name| name == weights), "{method}: {files:?}");
            let has_config = files.iter().any(|name| name == "adapter_config.json");
            assert_eq!(has_config, weights == PEFT, "{method}: {files:?}");
            let source =
                SafetensorsSource::open_file(&place.path(&format!("out/adapter/{weights}")))
                    .unwrap();
            assert_eq!(source.tensor(tensor).unwrap().unwrap().size(), shape, "{method}");
            let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
            let how =
                if weights == PEFT { "PeftModel.from_pretrained" } else { "head.safetensors" };
            assert!(card.contains(how) && !card.contains("--max-lora-rank"), "{card}");
        }
    }
}

#[test]
fn killed_they_go_on_with_the_same_bits() {
    for (method, rate, weights, _, _) in METHODS {
        let place = Place::new(&of(method, rate, 4));
        assert_eq!(place.run("calm", &[]).code, Some(0));
        let mut running = Running::start(place.command("hit", &[]));
        assert!(running.until_step(8), "{method}");
        running.signal(Signal::SIGKILL);
        assert_eq!(running.end().code, None, "{method}");
        let ended = place.run("hit", &[]);
        assert_eq!(ended.code, Some(0), "{method}: {}", ended.stderr);
        assert!(ended.steps()[0] > 1, "{method} began anew");
        for file in [weights, "metrics.csv"] {
            let of = |out: &str| place.read(&format!("{out}/adapter/{file}"));
            assert!(of("calm") == of("hit"), "{method}: {file} differs");
        }
    }
}

#[test]
fn they_learn_in_private() {
    for (method, rate, ..) in METHODS {
        let mut request = of(method, rate, 10);
        request["trainyard"]["privacy"] = json!({"noise_multiplier": 0.35, "clip_norm": 0.3});
        let place = Place::new(&request);
        let ended = place.run("out", &[]);
        assert_eq!(ended.code, Some(0), "{method}: {}", ended.stderr);
        let (before, after) = losses(&ended);
        assert!(after < before - 0.2, "{method}: validation loss {before} -> {after}");
        let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
        assert!(card.contains("differentially private"), "{card}");
    }
}

#[test]
fn a_rate_of_nothing_is_noticed() {
    // Not of a head: its rows of padding are zeros, which any update changes.
    for method in ["ia3", "prompt", "prefix"] {
        let place = Place::new(&of(method, 1e-30, 1));
        let ended = place.run("out", &[]);
        let (code, message, ..) = ended.failure();
        assert_eq!(code, "integrity_check_failed", "{method}: {message}");
        assert!(message.contains("changed nothing"), "{method}: {message}");
        assert!(!place.path("out/adapter").exists());
    }
}

#[test]
fn names_that_meet_no_layer_are_refused() {
    let mut request = of("ia3", 0.01, 1);
    request["trainyard"]["adapter"]["target_modules"] = json!(["k_proj", "fc2"]);
    let ended = Place::new(&request).run("out", &[]);
    let (code, message, param, user) = ended.failure();
    assert_eq!(
        (code, param, user),
        ("invalid_target_modules", Some("trainyard.adapter.target_modules"), true)
    );
    assert!(message.contains("'fc2'") && message.contains("down_proj"), "{message}");
}
