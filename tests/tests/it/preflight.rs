//! A dry run says beforehand what a job would come to, and stores nothing of it.

use serde_json::Value;
use trainyard_tests::api::text;
use trainyard_tests::process::Said;
use trainyard_tests::{Server, data};

fn dry_run(server: &Server, file: &str, more: &[&str]) -> Said {
    let create = ["jobs", "create", "--model", data::MODEL, "--training-file", file, "--dry-run"];
    let plan = ["--epochs", "2", "--batch-size", "4", "--seed", "7", "--json"];
    server.cli(&[&create, &plan[..], more].concat())
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn a_dry_run_counts_what_the_job_then_trains_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    data::file(directory.path(), "train.jsonl", data::chat(40));
    let said = dry_run(&server, "train.jsonl", &["--set", "trainyard.sequence.max_length=38"]);
    assert_eq!(said.code, 0, "{said:?}");
    let told = json(&said);
    assert_eq!(told["valid"], true);
    let cut = told["files"][0]["data_report"]["truncated"].as_u64();
    assert!(cut.is_some_and(|cut| cut > 0), "{told}");
    assert_eq!(told["memory"]["fits"], true);
    assert_eq!(told["queue"]["position"], 1);
    assert!(told["time"]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{told}");
    let none = json(&server.cli(&["jobs", "list", "--json"]));
    assert_eq!(none["data"].as_array().map(Vec::len), Some(0), "nothing is stored");

    let job = server.cli(&[
        "jobs",
        "create",
        "--model",
        data::MODEL,
        "--training-file",
        "train.jsonl",
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--seed",
        "7",
        "--set",
        "trainyard.sequence.max_length=38",
        "--watch",
        "--json",
    ]);
    let last = job.stdout.lines().last().expect("a job");
    let job: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(text(&job, "/status"), "succeeded");
    assert_eq!(job["trained_tokens"], told["total_tokens"]);
    let (trained, counted) = (&job["trainyard"]["result"], &told["files"][0]["data_report"]);
    assert_eq!(&trained["data_report"], counted, "exactly what was told before");
    assert_eq!(trained["steps"], told["total_steps"]);
    // From now on the rate is that of the tenant's own jobs.
    let said = dry_run(&server, "train.jsonl", &["--set", "trainyard.sequence.max_length=38"]);
    assert_eq!(json(&said)["time"]["basis"], "earlier_jobs");
}

#[test]
fn a_dry_run_names_every_bad_line_and_who_refuses_the_adapter() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let mut lines: Vec<String> = data::chat(12).lines().map(str::to_string).collect();
    lines[2] = lines[2].replace("\"assistant\"", "\"robot\"");
    lines[6] = "{".to_string();
    lines[9] = "{\"messages\": [], \"x\": 1}".to_string();
    data::file(directory.path(), "bad.jsonl", lines.join("\n"));
    let said = dry_run(&server, "bad.jsonl", &["--set", "trainyard.adapter.rslora=true"]);
    assert_eq!(said.code, 2, "{said:?}");
    let told = json(&said);
    let errors = told["files"][0]["errors"].as_array().expect("errors");
    let numbers: Vec<_> = errors.iter().filter_map(|error| error["line"].as_u64()).collect();
    assert_eq!((numbers, told["files"][0]["error_count"].as_u64()), (vec![3, 7, 10], Some(3)));
    assert!(errors.iter().all(|error| !text(error, "/code").is_empty()), "{errors:?}");
    let consumers = told["compatibility"].as_array().expect("consumers");
    let verdict = |name: &str| {
        let found = consumers.iter().find(|one| one["consumer"] == name);
        found.expect("the consumer")["accepted"].as_bool()
    };
    assert_eq!((verdict("vllm"), verdict("llama.cpp")), (Some(true), Some(false)));
    let refused = dry_run(&server, "bad.jsonl", &["--set", "trainyard.adapter.rank=100000"]);
    assert!(refused.code == 2 && refused.stderr.contains("trainyard.adapter.rank"), "{refused:?}");
}
