//! Whole runs of the binary: what they tell, what they write, and that what they write is what PEFT reads.

use serde_json::{Value, json};
use trainyard_openapi::result::COLUMNS;
use trainyard_plan::trainer::TrainerEvent;
use trainyard_trainer::artifact::manifest;
use trainyard_trainer::run::spec;

use crate::trainer::{Place, names, request};

#[test]
fn trains_evaluates_and_exports() {
    let place = Place::new(&request(4));
    let ended = place.run("out", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("adapter in adapter"), "{}", ended.stderr);

    let started = ended.events.iter().find_map(|event| match event {
        TrainerEvent::Started(started) => Some(started),
        _ => None,
    });
    let started = started.expect("a start");
    assert_eq!((started.total_steps, started.resumed_from_step), (20, 0));
    assert_eq!(started.data_report["examples"], 40);
    assert_eq!(ended.steps(), (1..=20).collect::<Vec<_>>());
    let evaluations: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| match event {
            TrainerEvent::Evaluation(report) => Some((report.step, report.last)),
            _ => None,
        })
        .collect();
    let marks = [(0, false), (4, false), (8, false), (12, false), (16, false), (20, true)];
    assert_eq!(evaluations, marks);
    let Some(TrainerEvent::Finished(finished)) = ended.events.last() else { panic!("{ended:?}") };
    let (before, after) = (finished.initial_valid_loss.unwrap(), finished.valid_loss.unwrap());
    assert!(after < before - 1.0, "validation loss {before} -> {after}");

    // Steps 3, 6, ... 18, of which two are kept.
    assert_eq!(place.checkpoints("out"), ["step-000015", "step-000018"]);
    let files = [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
        "metrics.csv",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&place.path("out/adapter")), files);
    let described = manifest::verify(&place.path("out/adapter")).unwrap();
    assert_eq!(described.files.len(), files.len() - 1);
    assert_eq!(described.files["adapter_model.safetensors"].sha256, finished.adapter_sha256);
    assert_eq!(
        manifest::hash_bytes(&place.read("out/adapter/manifest.json")),
        finished.manifest_sha256
    );

    let config: Value =
        serde_json::from_slice(&place.read("out/adapter/adapter_config.json")).unwrap();
    assert_eq!(config["peft_type"], "LORA");
    assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(4), &json!(8)));
    let modules =
        json!(["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]);
    assert_eq!(config["target_modules"], modules);
    let card = String::from_utf8(place.read("out/adapter/README.md")).unwrap();
    for part in [
        "base_model:",
        "(libtorch 2.",
        &started.training_data_sha256,
        "--max-lora-rank 8",
        "\"dropout\": 0.1",
    ] {
        assert!(card.contains(part), "no {part} in {card}");
    }

    let csv = String::from_utf8(place.read("out/adapter/metrics.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let columns: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(rows[0], columns);
    assert_eq!(rows.len(), 1 + 21, "the header, what was before the first step, and 20 steps");
    let cell = |row: usize, name: &str| rows[row][columns.iter().position(|c| *c == name).unwrap()];
    assert_eq!((cell(1, "step"), cell(1, "train_loss")), ("0", ""));
    assert_eq!(cell(1, "valid_loss"), before.to_string());
    assert_eq!(cell(21, "full_valid_loss"), after.to_string());
    assert!((2..21).all(|row| cell(row, "full_valid_loss").is_empty()));
    assert_eq!(cell(21, "tokens"), finished.tokens.to_string());

    // A finished run does nothing anew and comes to the same.
    let adapter = place.read("out/adapter/adapter_model.safetensors");
    let again = place.run("out", &[]);
    assert_eq!((again.code, again.steps()), (Some(0), vec![19, 20]), "{}", again.stderr);
    assert!(adapter == place.read("out/adapter/adapter_model.safetensors"));
}

/// The loss is a sum over targets divided by their number in the whole step: how the batch is cut must not show.
#[test]
fn how_a_batch_is_cut_does_not_change_what_is_learned() {
    let mut request = request(2);
    request["trainyard"]["adapter"]["dropout"] = json!(0.0);
    let curve = |batching: Value| -> Vec<f64> {
        let mut request = request.clone();
        request["trainyard"]["batching"] = batching;
        let ended = Place::new(&request).run("out", &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let losses = ended.events.iter().filter_map(|event| match event {
            TrainerEvent::Step(step) => step.train_loss,
            _ => None,
        });
        losses.collect()
    };
    let whole = curve(json!({"micro_batch_size": 8}));
    assert_eq!(whole.len(), 10);
    for batching in [
        json!({"micro_batch_size": 1}),
        json!({"micro_batch_size": 3}),
        json!({"micro_batch_size": 8, "gradient_checkpointing": true}),
    ] {
        for (step, (cut, whole)) in curve(batching.clone()).iter().zip(&whole).enumerate() {
            assert!((cut / whole - 1.0).abs() < 1e-3, "{batching}, step {step}: {cut} {whole}");
        }
    }
}

#[test]
fn early_stopping_ends_a_run_that_gets_no_better() {
    let mut request = request(10);
    request["trainyard"]["early_stopping"] = json!({"patience": 2, "min_delta": 1000.0});
    let place = Place::new(&request);
    let ended = place.run("out", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // The first evaluation after step 0 is the best so far whatever it is; two more bring nothing.
    assert_eq!(ended.steps().last(), Some(&12));
    let Some(TrainerEvent::Finished(finished)) = ended.events.last() else { panic!("{ended:?}") };
    assert!(finished.stopped_early);
    let csv = String::from_utf8(place.read("out/adapter/metrics.csv")).unwrap();
    let last = csv.lines().last().unwrap();
    assert!(last.starts_with("12,") && last.contains(&finished.valid_loss.unwrap().to_string()));
}

/// A server resolves the request and hands on the plan as JSON, more than once: the run must be the same.
#[test]
fn a_plan_that_went_through_json_trains_the_same() {
    let mut request = request(2);
    // No short decimal: a product of two of them.
    request["method"]["supervised"]["hyperparameters"]["learning_rate_multiplier"] = json!(1.1);
    request["trainyard"]["optimizer"] = json!({"betas": [0.9, 0.1 + 0.2], "max_grad_norm": null});
    let place = Place::new(&request);
    assert_eq!(place.run("direct", &[]).code, Some(0));
    let config = |model: &std::path::Path| Ok(model.join("config.json"));
    let resolved = spec::read_request(&place.path("spec.json"), config).unwrap();
    let once: Value = serde_json::from_str(&serde_json::to_string(&resolved).unwrap()).unwrap();
    place.write("run.json", &once.to_string());
    assert_eq!(spec::read_run(&place.path("run.json")).unwrap(), resolved);

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trainyard-trainer"));
    command.args(["run", "--threads", "1", "--quiet", "--plan"]).arg(place.path("run.json"));
    let said = command.arg("--out").arg(place.path("planned")).output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let weights = |out: &str| place.read(&format!("{out}/adapter/adapter_model.safetensors"));
    assert!(weights("direct") == weights("planned"));
    // A checkpoint of the one may be gone on from by the other: the plan's bytes are the same.
    let said = place.run("planned", &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
