//! Erasure over HTTP: OpenAI's answer with ours beside it, strict about what is asked, and no more than the key may.

use reqwest::Method;
use trainyard_openapi::tenant::Scope;
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::tenant::KeyRecord;

use crate::executor::{claim, run};
use crate::server::{Answer, Server};

async fn delete(server: &Server, path: &str) -> Answer {
    Answer::of(server.request(Method::DELETE, path).send().await.unwrap()).await
}

#[actix_web::test]
async fn a_cascade_is_openais_answer_with_a_receipt_in_it() {
    let server = Server::start().await;
    let id = server.job().await;
    let job = format!("/v1/fine_tuning/jobs/{id}");
    let file = server.get(&job).await.body["training_file"].as_str().unwrap().to_string();
    let path = format!("/v1/files/{file}");
    delete(&server, &format!("{path}?cascade=true")).await.refused(409, "in_use", None);
    let lease = claim(&server).await;
    run(&server, &lease, "canary-in-events").await;
    let model = server.get(&job).await.body["fine_tuned_model"].as_str().unwrap().to_string();
    let answer = delete(&server, &format!("{path}?cascade=yes")).await;
    answer.refused(400, "invalid_value", Some("cascade"));
    let answer = delete(&server, &format!("{path}?force=true")).await;
    answer.refused(400, "unknown_parameter", Some("force"));
    let lineage = server.get(&format!("{path}/lineage")).await.body;
    assert_eq!(
        (&lineage["jobs"][0]["id"], &lineage["models"][0]["id"]),
        (&id.as_str().into(), &model.as_str().into())
    );
    assert!(server.data_holds(b"canary-in-events"));

    let answer = delete(&server, &format!("{path}?cascade=true")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = &answer.body;
    assert_eq!((body["id"].as_str(), body["object"].as_str()), (Some(file.as_str()), Some("file")));
    assert_eq!(
        (&body["deleted"], &body["trainyard"]["trained"]["jobs"][0]),
        (&true.into(), &id.as_str().into())
    );
    let receipt = &body["trainyard"]["erasure"];
    assert_eq!(
        (receipt["object"].as_str(), receipt["status"].as_str()),
        (Some("erasure.receipt"), Some("completed"))
    );
    let read = server.get(&format!("/v1/erasures/{}", receipt["id"].as_str().unwrap())).await;
    assert_eq!(&read.body, receipt);
    let again = delete(&server, &format!("{path}?cascade=true")).await;
    assert_eq!(&again.body, body, "a repeat answers the same");
    delete(&server, &path).await.refused(404, "file_not_found", Some("id"));
    server.get(&format!("/v1/models/{model}")).await.refused(404, "model_not_found", Some("model"));
    let job = server.get(&job).await.body;
    assert_eq!(
        (&job["status"], &job["trainyard"]["erased"]["id"]),
        (&"succeeded".into(), &receipt["id"])
    );
    assert!(!server.data_holds(b"canary-in-events"), "something of it is left on the disk");
    let missing = format!("/v1/erasures/erase_{}", "0".repeat(24));
    server.get(&missing).await.refused(404, "not_found", Some("id"));
}

#[actix_web::test]
async fn files_write_alone_erases_no_models() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let tenant = server.tenant.parse().unwrap();
    for (scopes, status) in [
        (&[Scope::FilesWrite][..], 403),
        (&[Scope::FilesWrite, Scope::ModelsWrite], 403),
        (&[Scope::FilesWrite, Scope::ModelsWrite, Scope::JobsWrite], 200),
    ] {
        let key = ApiKey::generate().unwrap();
        let record = KeyRecord::new(&key, &tenant, "few", scopes.to_vec(), 0);
        server.store.apply(&Change::none().put(&record, 1).unwrap()).await.unwrap();
        let url = format!("{}/v1/files/{file}?cascade=true", server.url);
        let answer =
            Answer::of(server.http.delete(url).bearer_auth(key.reveal()).send().await.unwrap());
        let answer = answer.await;
        assert_eq!(answer.status, status, "{scopes:?}: {}", answer.body);
    }
}
