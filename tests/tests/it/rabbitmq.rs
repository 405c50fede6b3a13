//! A server whose tickets go through RabbitMQ, which dies and comes back.

#[allow(dead_code, reason = "the scheduler's tests ask more of it")]
#[path = "../../../scheduler/tests/it/rabbitmq/broker.rs"]
pub(crate) mod broker;

use std::time::Duration;

use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, Server, data, process};

use broker::Broker;

/// A guard against hanging: a queue that lost its leader with the broker is replaced within a minute.
const LIMIT: Duration = Duration::from_secs(240);

async fn train(api: &Api, file: &str) {
    let id = api.create(api::request(file, 1, 4)).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
}

#[tokio::test]
async fn jobs_run_over_rabbitmq_and_no_log_shows_its_password() {
    let mut broker = Broker::start();
    let directory = tempfile::tempdir().expect("a directory");
    let [password, escaped] = Broker::passwords();
    let password_file = data::file(directory.path(), "password", format!("{password}\n"));
    let url = broker.url().replace(&format!(":{escaped}@"), "@");
    let file_flag = password_file.display().to_string();
    let flags = ["--queue", &url, "--queue-password-file", &file_flag, "--log-level", "debug"];
    let server = Server::start_with(directory.path(), &flags);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(8)).await;
    train(&api, &file).await;
    broker.settle().await;
    broker.kill();
    broker.start_again();
    train(&api, &file).await;
    broker.kill();
    broker.wipe();
    broker.start_again();
    train(&api, &file).await;
    let log = server.log();
    assert!(log.contains("publishes tickets") && log.contains("consumes tickets"), "{log}");
    assert!(!log.contains(password) && !log.contains(escaped), "{log}");
    drop(server);

    let wrong = data::file(directory.path(), "wrong", "a wrong password");
    let wrong = wrong.display().to_string();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--queue", &url];
    let said = process::trainyard(
        directory.path(),
        &[&serve[..], &["--queue-password-file", &wrong]].concat(),
    );
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("check user, password and permissions"), "{}", said.stderr);
    assert!(!said.stderr.contains("a wrong"), "{}", said.stderr);
    let said = process::trainyard(
        directory.path(),
        &[&serve[..], &["--queue-password-file", "missing"]].concat(),
    );
    assert!(
        said.stderr.contains("'queue_password_file' ('missing') cannot be read"),
        "{}",
        said.stderr
    );
}
