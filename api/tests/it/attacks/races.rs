//! Two who want different things of the same thing at the same moment.

use futures::future::{join, join_all};
use reqwest::Method;
use serde_json::json;
use trainyard_scheduler::port::control_plane::ControlPlane;

use crate::executor::{claim, completion};
use crate::server::{Answer, Server};

#[actix_web::test]
async fn cancel_against_complete_ends_one_way() {
    let server = Server::start().await;
    let (mut succeeded, mut cancelled) = (0, 0);
    for round in 0..12 {
        let id = server.job().await;
        let lease = claim(&server).await;
        let done = completion(&server, &lease, "x").await;
        let url = format!("/v1/fine_tuning/jobs/{id}");
        let cancel = async {
            // Now one is ahead, now the other.
            tokio::time::sleep(std::time::Duration::from_micros(300 * (round % 4))).await;
            server.post(&format!("{url}/cancel"), &json!({})).await
        };
        let (_, completed) = join(cancel, server.scheduler.complete(&lease, &done)).await;
        let mut job = server.get(&url).await.body;
        if job["status"] == "running" {
            // It was cancelled first: the run gives the job back as it is told.
            assert!(completed.is_err(), "{job}");
            let reason = trainyard_scheduler::port::control_plane::ReleaseReason::Cancelled;
            server.scheduler.release(&lease, reason).await.unwrap();
            job = server.get(&url).await.body;
        }
        match job["status"].as_str().unwrap() {
            "succeeded" => {
                succeeded += 1;
                let model = job["fine_tuned_model"].as_str().unwrap();
                let artifacts = server.get(&format!("/v1/models/{model}/artifacts")).await;
                assert_eq!(artifacts.status, 200, "{}", artifacts.body);
            }
            "cancelled" => {
                cancelled += 1;
                assert!(job["fine_tuned_model"].is_null(), "{job}");
                assert_eq!(job["result_files"], json!([]), "{job}");
            }
            other => panic!("{other}: {job}"),
        }
    }
    assert_eq!(succeeded + cancelled, 12);
}

#[actix_web::test]
async fn a_file_that_is_read_stays_and_two_deletes_are_one() {
    let server = Server::start().await;
    let id = server.job().await;
    let url = format!("/v1/fine_tuning/jobs/{id}");
    let file = server.get(&url).await.body["training_file"].as_str().unwrap().to_string();
    let remove = async || {
        let request = server.request(Method::DELETE, &format!("/v1/files/{file}"));
        Answer::of(request.send().await.unwrap()).await
    };
    remove().await.refused(409, "in_use", None);
    let lease = claim(&server).await;
    remove().await.refused(409, "in_use", None);
    let done = completion(&server, &lease, "x").await;
    server.scheduler.complete(&lease, &done).await.unwrap();
    let answers = join_all((0..10).map(|_| remove())).await;
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 404)));
    remove().await.refused(404, "file_not_found", Some("id"));
    let log =
        server.get(&format!("/v1/admin/tenants/{}/audit?limit=1000", server.tenant)).await.body;
    let deleted = log["data"].as_array().unwrap().iter().filter(|e| e["action"] == "file.deleted");
    assert_eq!(deleted.count(), 1, "{log}");
    // The model does not need the file any more.
    let model = server.get(&url).await.body["fine_tuned_model"].as_str().unwrap().to_string();
    assert_eq!(server.get(&format!("/v1/models/{model}/artifacts")).await.status, 200);
}

#[actix_web::test]
async fn a_key_that_is_rotated_during_an_upload_lets_it_end() {
    let server = Server::start().await;
    let keys = format!("/v1/admin/tenants/{}/keys", server.tenant);
    let old = server.post(&keys, &json!({"name": "old"})).await.body;
    let (id, secret) = (old["id"].as_str().unwrap(), old["key"].as_str().unwrap().to_string());
    let (begun, started) = tokio::sync::oneshot::channel::<()>();
    let (go_on, rotated) = tokio::sync::oneshot::channel::<()>();
    let parts = futures::stream::unfold(
        (0, Some(begun), Some(rotated)),
        |(step, begun, rotated)| async move {
            let head = "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\n\
                    Content-Disposition: form-data; name=\"file\"; filename=\"t.jsonl\"\r\n\r\n{\"text\": ";
            let (begun, rotated) = match step {
                1 => {
                    begun?.send(()).unwrap();
                    rotated?.await.unwrap();
                    (None, None)
                }
                _ => (begun, rotated),
            };
            let piece = match step {
                0 => head,
                1 => "\"a\"}\n\r\n--XX--\r\n",
                _ => return None,
            };
            Some((Ok::<_, std::io::Error>(piece), (step + 1, begun, rotated)))
        },
    );
    let upload = server.http.post(format!("{}/v1/files", server.url)).bearer_auth(&secret);
    let upload = upload.header("content-type", "multipart/form-data; boundary=XX");
    let upload = tokio::spawn(upload.body(reqwest::Body::wrap_stream(parts)).send());
    started.await.unwrap();
    // The head and the first piece have to be at the server before its key goes.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let new = server.post(&format!("{keys}/{id}/rotate"), &json!({"overlap_seconds": 0})).await;
    assert_eq!(new.status, 200, "{}", new.body);
    go_on.send(()).unwrap();
    let file = Answer::of(upload.await.unwrap().unwrap()).await;
    assert_eq!(file.status, 200, "{}", file.body);
    let with = async |key: &str| {
        let request = server.http.get(format!("{}/v1/files", server.url)).bearer_auth(key);
        Answer::of(request.send().await.unwrap()).await
    };
    with(&secret).await.refused(401, "invalid_api_key", None);
    let listed = with(new.body["key"].as_str().unwrap()).await;
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 1, "{}", listed.body);
}
