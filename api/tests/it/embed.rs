//! The example that mounts the API in a foreign application: built as it stands, called over a socket.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Answer;

/// The example as a process of its own.
struct Embedded {
    child: Child,
    url: String,
    key: String,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Embedded {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("models/tiny");
        std::fs::create_dir_all(&model).unwrap();
        let config = json!({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                            "vocab_size": 256, "max_position_embeddings": 128});
        std::fs::write(model.join("config.json"), config.to_string()).unwrap();
        let test = std::env::current_exe().unwrap();
        // target/debug/deps/it-… -> target/debug/examples/embed
        let example = test.ancestors().nth(2).unwrap().join("examples/embed");
        assert!(example.is_file(), "'{}' is not built", example.display());
        let mut command = Command::new(example);
        command.arg("127.0.0.1:0").arg(dir.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (url, key) = line.trim().split_once(' ').unwrap();
        let (url, key) = (url.to_string(), key.to_string());
        Self { child, url, key, http: reqwest::Client::new(), _dir: dir }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[actix_web::test]
async fn the_api_lives_in_a_foreign_application() {
    let mut app = Embedded::start();
    // The application's own routes are its own: no header of ours, no error body of ours.
    let hello = app.get("/hello").await;
    assert_eq!((hello.status, hello.body.as_str()), (200, Some("hello from the application")));
    for answer in [&hello, &app.get("/nothing").await, &app.get("/v1/files").await] {
        assert_eq!((answer.header("x-request-id"), answer.header("openai-version")), ("", ""));
        assert!(answer.body.get("error").is_none(), "{}", answer.body);
    }
    assert_eq!(app.get("/v1/files").await.status, 404, "nothing of ours is at the root");

    let form = "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\nContent-Disposition: form-data; \
                name=\"file\"; filename=\"t.jsonl\"\r\n\r\n{\"prompt\": \"a\", \"completion\": \"b\"}\r\n--XX--\r\n";
    let upload = app.http.post(format!("{}/training/v1/files", app.url)).bearer_auth(&app.key);
    let upload = upload.header("content-type", "multipart/form-data; boundary=XX").body(form);
    let file = Answer::of(upload.send().await.unwrap()).await;
    assert_eq!(file.status, 200, "{}", file.body);
    let body = json!({"model": "tiny", "training_file": file.body["id"]});
    let job = app.ask(Method::POST, "/training/v1/fine_tuning/jobs", Some(body)).await;
    assert_eq!(job.status, 200, "{}", job.body);
    // The loops run: the file is found good and the job waits for an executor.
    let url = format!("/training/v1/fine_tuning/jobs/{}", job.body["id"].as_str().unwrap());
    let mut status = String::new();
    for _ in 0..200 {
        let now = app.get(&url).await.body["status"].as_str().unwrap().to_string();
        status.clone_from(&now);
        if now == "queued" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(status, "queued");

    app.get("/training/v1/nothing").await.refused(404, "not_found", None);
    app.get("/training/v1/files/file-x").await.refused(404, "file_not_found", Some("id"));
    let wrong = app.ask(Method::PUT, "/training/v1/files", None).await;
    wrong.refused(405, "method_not_allowed", None);
    assert_eq!(wrong.header("allow"), "GET, POST");
    let broken = app.ask(Method::POST, "/training/v1/fine_tuning/jobs", Some(json!([]))).await;
    assert_eq!(broken.status, 400);
    let stranger = app.http.get(format!("{}/training/v1/files", app.url)).send().await.unwrap();
    Answer::of(stranger).await.refused(401, "invalid_api_key", None);
    let document = app.get("/training/openapi.json").await;
    assert_eq!(document.body["servers"][0]["url"], "/training");
    assert_eq!(document.body["paths"], trainyard_api::openapi()["paths"]);
    assert_eq!(app.get("/training/docs").await.status, 200);
    assert_eq!(app.get("/training/healthz/ready").await.status, 200);

    let kill = Command::new("kill").arg(app.child.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(app.child.wait().unwrap().code(), Some(0), "an orderly end");
}
