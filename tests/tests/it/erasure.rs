//! A word that stands in the data alone is looked for in every byte below the data directory once its file is erased: after an
//! orderly end, after `kill -9` in the middle of training and in the middle of the erasure.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, Server, data, process};

const LIMIT: Duration = Duration::from_secs(120);
const CANARY: &str = "zephyr-quartz-58213-marmalade";

/// Moments at which the server is killed after the erasure was asked for, in milliseconds.
const MOMENTS: [u64; 5] = [0, 2, 5, 10, 25];

/// Chat lines of which one in four answers with the canary.
fn lines() -> String {
    let line = json!({"messages": [
        {"role": "user", "content": "What is the word?"}, {"role": "assistant", "content": CANARY},
    ]});
    data::chat(24) + &format!("{line}\n").repeat(8)
}

/// Every file below `directory` that holds the canary.
fn holding(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path));
        } else if api::read(&path).windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn create(api: &Api, file: &str, epochs: u32) -> String {
    let mut request = api::request(file, epochs, 4);
    request["validation_file"] = json!(file);
    request["trainyard"]["checkpoint"] = json!({"every_steps": 4, "every_seconds": null});
    api.create(request).await
}

/// A job that has succeeded; gives its model.
async fn trained(api: &Api, file: &str) -> String {
    let job = api.end(&create(api, file, 1).await, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    text(&job, "/fine_tuned_model")
}

/// Erases the file; gives the receipt once the erasure is complete.
async fn erased(api: &Api, file: &str) -> Value {
    let start = Instant::now();
    loop {
        let path = format!("/v1/files/{file}?cascade=true");
        let (status, body) = api.call(Method::DELETE, &path, None).await;
        assert_eq!(status, 200, "{body}");
        let receipt = body["trainyard"]["erasure"].clone();
        if text(&receipt, "/status") == "completed" {
            return receipt;
        }
        assert!(start.elapsed() < LIMIT, "not complete: {receipt:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn nothing_of_an_erased_file_is_left_on_the_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", lines()).await;
    let model = trained(&api, &file).await;
    // One that fails on a line and says which.
    let bad = format!("{{\"messages\": [{{\"role\": \"{CANARY}\", \"content\": \"x\"}}]}}\n");
    let bad = api.file("bad.jsonl", bad).await;
    let failed = api.create(api::request(&bad, 1, 1)).await;
    let job = api.end(&failed, LIMIT).await;
    assert!(text(&job, "/error/message").contains(CANARY), "{job:#}");

    let shown = server.cli(&["files", "lineage", &file]);
    assert!(shown.code == 0 && shown.stdout.contains(&model), "{shown:?}");
    let asked = server.cli(&["files", "delete", &file, "--cascade"]);
    assert!(asked.code == 2 && asked.stderr.contains("--yes"), "{asked:?}");
    let said = server.cli(&["files", "delete", &file, "--cascade", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    for word in ["completed", "1 model", "kept: ", "backups"] {
        assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    println!("{}\n{}", shown.stdout, said.stdout);
    let said = server.cli(&["files", "delete", &bad, "--cascade", "--yes", "--json"]);
    let receipt: Value = serde_json::from_str(&said.stdout).expect("a receipt");
    assert_eq!(
        (receipt["counts"]["file"].as_u64(), text(&receipt, "/status").as_str()),
        (Some(1), "completed")
    );

    // Killed while it trains: the next process clears away what lies in the work directory.
    let file = api.file("train.jsonl", lines()).await;
    let id = create(&api, &file, 50).await;
    let running =
        |job: &Value| job.pointer("/trainyard/progress/step").and_then(Value::as_u64) >= Some(8);
    api.wait(&id, LIMIT, running).await;
    server.kill();
    assert!(!holding(&directory.path().join("data/work")).is_empty(), "nothing was under way");
    let mut server = server.start_again();
    let api = server.api();
    let (status, _) =
        api.call(Method::POST, &format!("/v1/fine_tuning/jobs/{id}/cancel"), None).await;
    assert_eq!(status, 200);
    assert_eq!(text(&api.end(&id, LIMIT).await, "/status"), "cancelled");
    erased(&api, &file).await;
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0), "{}", server.log());
    assert_eq!(holding(&directory.path().join("data")), Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_server_goes_on_with_an_erasure() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    let mut begun_and_unfinished = 0;
    for moment in MOMENTS {
        let api = server.api();
        let file = api.file("train.jsonl", lines()).await;
        let model = trained(&api, &file).await;
        let path = format!("/v1/files/{file}");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let asked = http.delete(format!("{}{path}?cascade=true", server.url()));
        let asked = tokio::spawn(asked.bearer_auth(server.key()).send());
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill();
        let answered = asked.await.expect("the request's task").is_ok();
        server = server.start_again();
        let api = server.api();
        let (status, _) = api.call(Method::GET, &path, None).await;
        if status == 404 {
            begun_and_unfinished += usize::from(!answered);
            // Nobody asks again: the server goes on by itself.
            let id = file.replacen("file-", "erase_", 1);
            let start = Instant::now();
            while text(&api.get(&format!("/v1/erasures/{id}")).await, "/status") != "completed" {
                assert!(start.elapsed() < LIMIT, "{moment} ms: {}", server.log());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } else {
            assert_eq!(status, 200);
            assert!(!answered, "an answer, and nothing was done");
            assert_eq!(api.call(Method::GET, &format!("/v1/models/{model}"), None).await.0, 200);
        }
        let receipt = erased(&api, &file).await;
        for kind in ["file", "model", "result_file"] {
            assert_eq!(receipt["counts"][kind], 1, "{moment} ms: {receipt:#}");
        }
        assert_eq!(erased(&api, &file).await, receipt, "a repeat answers the same");
        assert_eq!(api.call(Method::GET, &format!("/v1/models/{model}"), None).await.0, 404);
    }
    println!("{begun_and_unfinished} of {} kills fell inside an erasure", MOMENTS.len());
    let children = process::children(server.pid());
    let (code, _) = server.terminate();
    assert_eq!((code, children), (Some(0), vec![]), "{}", server.log());
    assert_eq!(holding(&directory.path().join("data")), Vec::<String>::new());
}
