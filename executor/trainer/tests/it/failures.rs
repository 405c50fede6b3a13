//! What cannot be trained is refused with its place; what the machine refuses leaves nothing half-written behind.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;
use tch::Tensor;
use trainyard_trainer::weights::safetensors::SafetensorsSource;
use trainyard_trainer::weights::{WeightSource, writer};

use crate::trainer::{Place, Running, chat, request, tiny_model};

#[test]
fn refusals_name_field_and_line() {
    let place = Place::new(&request(1));
    let refused = |expected: (&str, Option<&str>), part: &str| {
        let ended = place.run("out", &[]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        let (code, message, param, user) = ended.failure();
        assert_eq!((code, param), expected, "{message}");
        assert!(user && message.contains(part), "{message}");
        assert!(!place.path("out/adapter").exists());
    };

    let bad =
        chat(0..2) + "{\"messages\": [{\"role\": \"pirate\", \"content\": \"x\"}]}\n" + &chat(3..9);
    place.write("train.jsonl", &bad);
    refused(("invalid_data", Some("training_file")), "train.jsonl: line 3: messages[0].role");
    place.write("train.jsonl", &chat(0..40));
    place.write("valid.jsonl", "{\"messages\": \n");
    refused(("invalid_data", Some("validation_file")), "valid.jsonl: line 1");
    place.write("valid.jsonl", &chat(50..58));

    let with = |key: &str, value| {
        let mut changed = request(1);
        changed[key] = value;
        place.write("spec.json", &changed.to_string());
    };
    with("model", json!("nothing-here"));
    refused(("model_not_found", Some("model")), "nothing-here");
    with("training_file", json!("none.jsonl"));
    refused(("file_not_found", Some("training_file")), "none.jsonl");
    with("trainyard", json!({"adapter": {"rank": 0}}));
    refused(("invalid_value", Some("trainyard.adapter.rank")), "not 0");
    with("trainyard", json!({"adapter": {"target_modules": ["q_proj", "w_proj"]}}));
    refused(
        ("invalid_target_modules", Some("trainyard.adapter.target_modules")),
        "'w_proj' matches no linear layer",
    );
    place.write("spec.json", "{\"model\": ");
    let ended = place.run("out", &[]);
    assert_eq!((ended.code, ended.failure().3), (Some(2), true));
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let mut request = request(1);
    request["model"] = json!("broken");
    request.as_object_mut().unwrap().remove("validation_file");
    let place = Place::new(&request);
    let broken = place.path("broken");
    fs::create_dir(&broken).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(tiny_model().join(name), broken.join(name)).unwrap();
    }
    let source = SafetensorsSource::open_dir(&tiny_model()).unwrap();
    let tensors: Vec<(String, Tensor)> = source
        .names()
        .into_iter()
        .map(|name| {
            let tensor = source.tensor(&name).unwrap().unwrap();
            let last_norm = name == "model.norm.weight";
            let tensor = if last_norm { tensor * f64::NAN } else { tensor };
            (name, tensor)
        })
        .collect();
    writer::write(&broken.join("model.safetensors"), &tensors).unwrap();

    let ended = place.run("out", &[]);
    assert_eq!(ended.code, Some(2));
    let (code, message, _, user) = ended.failure();
    assert_eq!((code, user), ("diverged", true));
    assert!(message.contains("at step 1"), "{message}");
    assert!(ended.steps().is_empty() && !place.path("out/checkpoints").exists());
}

#[test]
fn a_full_disk_leaves_nothing_under_a_name() {
    let place = Place::new(&request(1));
    // 16 KiB a file: enough for the figures, too little for the adapter's weights.
    let trainer = place.command("out", &["--quiet"]);
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]);
    command.arg(trainer.get_program()).args(trainer.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (code, message, _, user) = ended.failure();
    assert_eq!((code, user), ("io_error", false));
    assert!(message.contains("adapter_model"), "{message}");
    assert!(place.checkpoints("out").iter().all(|name| name.starts_with('.')));

    // With room it goes on as if nothing had been.
    let ended = place.run("out", &[]);
    assert_eq!((ended.code, ended.steps()[0]), (Some(0), 1), "{}", ended.stderr);
    assert!(place.checkpoints("out").iter().all(|name| !name.starts_with('.')));
}

#[test]
fn an_output_directory_has_one_run_and_must_be_one() {
    // Longer than the second run waits for the first.
    let place = Place::new(&request(50));
    place.write("train.jsonl", &chat(0..100).repeat(10));
    let mut running = Running::start(place.command("out", &[]));
    assert!(running.until_step(1));
    let second = place.run("out", &[]);
    assert_eq!((second.code, second.failure().0), (Some(2), "output_in_use"));
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.end();

    let ended = place.run("spec.json/out", &[]);
    assert_eq!((ended.code, ended.failure().0), (Some(1), "io_error"));
    assert!(ended.failure().1.contains("spec.json/out"), "{:?}", ended.failure());
}
