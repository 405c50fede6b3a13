//! The client commands against a live server: output, JSON, exit codes.

use serde_json::Value;
use sha2::{Digest, Sha256};
use trainyard_tests::api::{read, text};
use trainyard_tests::process::{self, Said};
use trainyard_tests::{Server, data};

/// The one JSON object that a command wrote.
fn json(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn a_user_gets_from_a_file_to_an_adapter() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    data::file(directory.path(), "train.jsonl", data::chat(40));
    data::file(directory.path(), "valid.jsonl", data::chat(8));

    let said = server.cli(&[
        "jobs",
        "create",
        "--model",
        data::MODEL,
        "--training-file",
        "train.jsonl",
        "--validation-file",
        "valid.jsonl",
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--rank",
        "4",
        "--learning-rate",
        "0.01",
        "--suffix",
        "sums",
        "--seed",
        "7",
        "--metadata",
        "team=a",
        "--set",
        "trainyard.checkpoint.every_steps=10",
        "--watch",
        "--json",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let snapshots: Vec<Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect();
    let job = snapshots.last().expect("a job");
    assert_eq!(text(job, "/status"), "succeeded");
    let (id, model) = (text(job, "/id"), text(job, "/fine_tuned_model"));
    assert!(model.starts_with("ft:tiny:") && model.contains("sums"), "{model}");

    let listed = json(&server.cli(&["jobs", "list", "--metadata", "team=a", "--json"]));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    let none = json(&server.cli(&["jobs", "list", "--metadata", "team=b", "--json"]));
    assert_eq!(none["data"].as_array().map(Vec::len), Some(0));
    assert_eq!(text(&json(&server.cli(&["jobs", "get", &id, "--json"])), "/id"), id);
    let checkpoints = json(&server.cli(&["jobs", "checkpoints", &id, "--json"]));
    assert!(!checkpoints["data"].as_array().expect("a list").is_empty());
    let events = server.cli(&["jobs", "events", &id]);
    assert!(events.code == 0 && events.stdout.lines().count() > 2, "{events:?}");

    let csv = server.cli(&["files", "content", &text(job, "/result_files/0")]);
    assert!(csv.stdout.starts_with("step,"), "{csv:?}");
    let said = server.cli(&["models", "download", &model, "--out", "adapter", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let announced: Vec<Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect();
    assert!(announced.iter().any(|file| file["name"] == "adapter_model.safetensors"));
    for file in &announced {
        let content = read(&directory.path().join("adapter").join(text(file, "/name")));
        assert_eq!(hex(&Sha256::digest(&content)), text(file, "/sha256"), "{file}");
    }

    for table in [&["jobs", "list"][..], &["files", "list"], &["models", "list"]] {
        let said = server.cli(table);
        assert!(said.code == 0 && said.stdout.lines().count() > 1, "{said:?}");
    }
    let said = server.cli(&["models", "delete", &model]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(server.cli(&["models", "get", &model]).code, 5);
}

#[test]
fn stages_are_named_by_flags_and_shown_with_what_they_forgot() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let half = |part: &str| {
        let lines: Vec<String> = data::chat(40).lines().map(|line| format!("{line}\n")).collect();
        if part == "even" { lines[..20].concat() } else { lines[20..].concat() }
    };
    for part in ["even", "odd"] {
        data::file(directory.path(), &format!("{part}.jsonl"), half(part));
        data::file(directory.path(), &format!("{part}.valid.jsonl"), data::chat(6));
    }
    let create = |more: &[&str]| {
        let stages = [
            "--stage",
            "even=even.jsonl,even.valid.jsonl",
            "--stage",
            "odd=odd.jsonl,odd.valid.jsonl",
        ];
        let model =
            ["jobs", "create", "--model", data::MODEL, "--epochs", "1", "--batch-size", "4"];
        server.cli(&[&model[..], &stages, more].concat())
    };
    let said = create(&[
        "--strategy",
        "replay",
        "--held-out-file",
        "odd.valid.jsonl",
        "--max-forgetting",
        "5",
        "--watch",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let shown = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "STAGE LAST STEP OUTCOME REASON even 5 kept",
        "odd 11 kept",
        "loss on each stage, lower is better AFTER even odd HELD OUT base model",
    ] {
        assert!(shown.contains(part), "{part}: {}", said.stdout);
    }
    let job = json(&server.cli(&["jobs", "list", "--json"]));
    let continual = &job["data"][0]["trainyard"]["continual"];
    assert_eq!(continual["strategies"][0]["type"], "replay", "{continual}");
    assert_eq!(continual["max_forgetting"], 5.0, "{continual}");

    let wrong = [
        (&["--training-file", "even.jsonl"][..], "cannot be used with"),
        (&["--stage", "third"], "NAME=TRAINING,VALIDATION"),
        (&["--stage", "third=lost.jsonl"], "--stage third: 'lost.jsonl' is neither"),
        (&["--strategy", "nothing"], "trainyard.continual.strategies"),
    ];
    for (flags, words) in wrong {
        let said = create(flags);
        assert!(said.code == 2 && said.stderr.contains(words), "{words}: {said:?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn exit_codes_say_what_happened() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    data::file(directory.path(), "train.jsonl", data::chat(100));
    data::file(directory.path(), "broken.jsonl", "{\"messages\": 3}\n");
    let create = |file: &str, more: &[&str]| {
        let mut args = vec!["jobs", "create", "--model", data::MODEL, "--training-file", file];
        args.extend(more);
        server.cli(&args)
    };

    assert_eq!(create("broken.jsonl", &["--watch"]).code, 3);
    assert_eq!(create("train.jsonl", &["--epochs", "1000"]).code, 2);
    assert_eq!(create("missing.jsonl", &[]).code, 2);
    assert_eq!(server.cli(&["jobs", "lost"]).code, 2);
    assert_eq!(server.cli(&["jobs", "get", "ftjob-000000000000000000000000"]).code, 5);
    assert_eq!(server.cli(&["files", "list", "--api-key", "wrong"]).code, 6);

    let long = create("train.jsonl", &["--epochs", "50", "--batch-size", "1", "--json"]);
    let id = text(&json(&long), "/id");
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| server.cli(&["jobs", "watch", &id]));
        let cancelled = server.cli(&["jobs", "cancel", &id]);
        assert_eq!(cancelled.code, 0, "{cancelled:?}");
        let watched = watching.join().expect("the watcher");
        assert_eq!(watched.code, 4, "{watched:?}");
    });

    let said =
        process::trainyard(directory.path(), &["jobs", "list", "--url", "http://127.0.0.1:9"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("is `trainyard serve` running"), "{said:?}");
}

#[test]
fn the_same_idempotency_key_makes_one_job() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    data::file(directory.path(), "train.jsonl", data::chat(8));
    let file = text(&json(&server.cli(&["files", "upload", "train.jsonl", "--json"])), "/id");
    let create = |seed: &str| {
        let args =
            ["jobs", "create", "--model", data::MODEL, "--training-file", &file, "--seed", seed];
        server.cli(&[&args[..], &["--idempotency-key", "once", "--json"]].concat())
    };
    let first = text(&json(&create("1")), "/id");
    assert_eq!(text(&json(&create("1")), "/id"), first);
    assert_eq!(create("2").code, 2, "the same key with another request is refused");
}

#[test]
fn a_directory_becomes_a_base_model_of_a_running_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let tiny = data::model();
    let tiny = tiny.to_str().expect("a path in UTF-8");
    let import = ["models", "import", tiny, "--name", "again", "--data-dir", "data", "--json"];
    assert_eq!(text(&json(&server.cli(&import)), "/id"), "again");
    assert_eq!(server.cli(&import).code, 2, "the name is taken");
    let listed = server.cli(&["models", "get", "again", "--json"]);
    assert_eq!(text(&json(&listed), "/owned_by"), "system");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    let said = server.cli(&["models", "import", "empty", "--name", "none", "--data-dir", "data"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(!directory.path().join("data/models/none").exists());
}

#[test]
fn help_shows_every_setting_with_its_default() {
    let directory = tempfile::tempdir().expect("a directory");
    let help = process::trainyard(directory.path(), &["serve", "--help"]).stdout;
    for line in ["--listen", "127.0.0.1:8420", "TRAINYARD_SLOTS", "[default: 60]", "Storage"] {
        assert!(help.contains(line), "{line}: {help}");
    }
    let settings = help.lines().filter(|line| line.trim_start().starts_with("--")).count();
    let defaults = help.matches("[default:").count();
    assert!(settings > 20 && defaults >= settings - 2, "{settings} settings, {defaults} defaults");
    let said = process::trainyard(directory.path(), &["completions", "bash"]);
    assert!(said.stdout.contains("trainyard"), "{said:?}");
}
