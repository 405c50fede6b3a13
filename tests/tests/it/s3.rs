//! The whole server with its objects in a bucket.

use std::time::Duration;

use serde_json::json;
use trainyard_tests::api::{self, number, text};
use trainyard_tests::rgw::{ACCESS_KEY_ID, BUCKET, Rgw, SECRET_ACCESS_KEY};
use trainyard_tests::{Server, data, process};

const LIMIT: Duration = Duration::from_secs(240);
const WEIGHTS: &str = "adapter_model.safetensors";

#[tokio::test]
async fn a_killed_server_goes_on_from_a_checkpoint_in_a_bucket() {
    let Some(rgw) = Rgw::start() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    data::file(directory.path(), "secret", format!("{SECRET_ACCESS_KEY}\n"));
    let url = format!("s3://{BUCKET}/prod");
    let more = [
        "--objects",
        url.as_str(),
        "--s3-endpoint",
        rgw.endpoint.as_str(),
        "--s3-access-key-id",
        ACCESS_KEY_ID,
        "--s3-secret-access-key-file",
        "secret",
    ];
    let server = Server::start_with(directory.path(), &more);
    let api = server.api();
    let training = data::chat(80);
    let file = api.file("train.jsonl", training.as_str()).await;
    let content = api.bytes(&format!("/v1/files/{file}/content")).await;
    assert!(content == training.as_bytes(), "the file has changed");
    let mut request = api::request(&file, 10, 4);
    request["trainyard"]["checkpoint"] =
        json!({"every_steps": 20, "every_seconds": null, "keep": 2});
    let calm = api.end(&api.create(request.clone()).await, LIMIT).await;
    assert_eq!(text(&calm, "/status"), "succeeded", "{calm:#}");
    let expected = api.artifact(&text(&calm, "/fine_tuned_model"), WEIGHTS).await;

    let id = api.create(request).await;
    let checkpoints = format!("/v1/fine_tuning/jobs/{id}/checkpoints");
    api.wait(&id, LIMIT, |job| number(job, "/trainyard/progress/step") >= 90.0).await;
    assert!(!api.get(&checkpoints).await["data"].as_array().expect("a list").is_empty());
    let mut server = server;
    server.kill();
    let server = server.start_again();
    let api = server.api();
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 2.0, "{job:#}");
    let weights = api.artifact(&text(&job, "/fine_tuned_model"), WEIGHTS).await;
    assert!(expected == weights, "the adapter differs");
    assert!(!directory.path().join("data/objects").exists(), "objects lie in the data directory");
    let link = api.get(&format!("/v1/files/{file}/link")).await;
    assert_eq!(fetch(&text(&link, "/url")).await, (200, training.clone().into()), "{link:#}");
    assert_eq!(number(&link, "/bytes"), training.len() as f64);
    let model = text(&job, "/fine_tuned_model");
    let link = api.get(&format!("/v1/models/{model}/artifacts/{WEIGHTS}/link")).await;
    let url = text(&link, "/url");
    assert_eq!(fetch(&url).await, (200, expected), "{link:#}");
    // Good for this object and this time alone.
    for (part, other) in
        [(WEIGHTS, "adapter_config.json"), ("X-Amz-Expires=900", "X-Amz-Expires=9000")]
    {
        assert!(url.contains(part), "{url}");
        assert_eq!(fetch(&url.replace(part, other)).await.0, 403, "{other}");
    }
    let (status, _) = api.call(reqwest::Method::DELETE, &format!("/v1/files/{file}"), None).await;
    assert_eq!(status, 200);
    let (status, _) =
        api.call(reqwest::Method::GET, &format!("/v1/files/{file}/content"), None).await;
    assert_eq!(status, 404);
    drop(server);

    // A backup takes files alone, and says so rather than leave the objects out.
    let said = process::trainyard(
        directory.path(),
        &["backup", "--data-dir", "data", "--objects", &url, "--out", "copy"],
    );
    assert!(
        said.code == 2 && said.stderr.contains(&url) && said.stderr.contains("file:PATH alone"),
        "{said:?}"
    );
    assert!(!directory.path().join("copy").exists());
}

/// What a client without any key gets.
async fn fetch(url: &str) -> (u16, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

#[test]
fn settings_of_s3_that_cannot_work_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", closed.local_addr().expect("its address"));
    drop(closed);
    data::file(directory.path(), "secret", "secret");
    let key = ["--s3-access-key-id", "a", "--s3-secret-access-key-file", "secret"];
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--objects", "s3://bucket"], 1, "no region"),
        (&["--objects", "s3://Bucket", "--s3-region", "r"], 1, "names no bucket"),
        (
            &[
                "--objects",
                "s3://bucket",
                "--s3-endpoint",
                endpoint.as_str(),
                key[0],
                key[1],
                key[2],
                key[3],
            ],
            1,
            "does not answer",
        ),
        (&["--s3-endpoint", endpoint.as_str()], 1, "'s3_endpoint' is set"),
        (
            &["--objects", "s3://bucket", "--s3-access-key-id", "a"],
            2,
            "'s3_secret_access_key_file' is not",
        ),
        (
            &["--objects", "s3://bucket", key[0], key[1], key[2], "missing"],
            1,
            "cannot read 'missing'",
        ),
    ];
    data::install_model(&directory.path().join("data/models"));
    for (flags, code, words) in cases {
        let args = [&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"], flags].concat();
        let said = process::trainyard(directory.path(), &args);
        assert!(said.code == code && said.stderr.contains(words), "{flags:?}: {said:?}");
    }
}
