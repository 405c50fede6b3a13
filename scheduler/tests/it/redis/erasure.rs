//! What is erased is in no file of the server any more, nor under any key.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::TenantId;
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::port::store::{Commit, Store, StoreError, UsageRecord};

use super::server::{DURABLE, Home, Server, named};
use trainyard_scheduler::adapter::redis::{RedisOptions, RedisStore};

/// Whether any file below `directory` holds the text.
fn holds(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A job with a lot that is told of it.
async fn make(store: &dyn Store, tenant: &TenantId, events: usize) {
    let job = sample::with_metadata(tenant, &[("canary", "yellow-metadata")]);
    let mut commit = sample::new(job.clone());
    commit.idempotency = Some(sample::idempotency(&job, &format!("yellow-key of {}", job.id)));
    commit.usage = Some(UsageRecord { jobs_created: 1, ..UsageRecord::on(0) });
    commit.ticket = Some(sample::ticket(&job, 1));
    store.commit(commit).await.unwrap();
    let mut commit = Commit { expected_rev: job.rev, ..Commit::of(job.clone()) };
    commit.job.rev += 1;
    commit.events = (0..events).map(|_| sample::event("yellow-event")).collect();
    commit.checkpoint = Some(sample::checkpoint(&job, 1));
    commit.model = Some(sample::model(&job, &format!("ft:{}", job.id)));
    let mut result = sample::file(tenant, Purpose::FineTuneResults);
    result.key = format!("jobs/{}/e1/result", job.id);
    commit.result_file = Some(result);
    store.commit(commit).await.unwrap();
    let mut file = sample::file(tenant, Purpose::FineTune);
    file.filename = "yellow-file".to_string();
    store.put_file(&file, &Change::none()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_forgotten_tenant_is_left_in_files_or_keys() {
    let place = tempfile::TempDir::new().unwrap();
    // Both kinds of file, and neither packed: what is looked for would not be seen.
    let more = ["--save", "3600 1", "--rdbcompression", "no"];
    let settings = DURABLE.iter().chain(&more).map(ToString::to_string).collect();
    let directory = place.path().to_path_buf();
    let mut server = Server::at(Home { directory, settings, environment: Vec::new() });
    let store = server.store("erased").await;
    let (tenant, other) = (sample::tenant(), sample::tenant());
    // More than one call removes.
    for events in [3, 1500] {
        make(&store, &tenant, events).await;
    }
    let kept = sample::made(&store, sample::with_metadata(&other, &[("bird", "green")])).await;
    server.say(&["SAVE"]).await;
    store.forget_tenant(&tenant).await.unwrap();
    assert_eq!(store.outbox().await.unwrap(), vec![]);
    assert_eq!(store.validating_jobs().await.unwrap(), vec![kept.id.clone()]);
    assert_eq!(store.live_count(&tenant).await.unwrap(), 0);
    assert_eq!(store.stored_bytes(&tenant).await.unwrap(), 0);
    let keys = server.say(&["KEYS", "*"]).await;
    assert!(keys.contains(other.as_str()) && !keys.contains(tenant.as_str()), "{keys}");
    assert!(!keys.contains("yellow"), "{keys}");
    assert!(holds(&place.path().join("appendonlydir"), "yellow-"), "the log tells all");
    assert!(holds(place.path(), "yellow-event"), "and so does the snapshot");

    store.scrub().await.unwrap();
    server.kill();
    for canary in ["yellow", tenant.as_str()] {
        assert!(!holds(place.path(), canary), "{canary} is still there");
    }
    assert!(holds(&place.path().join("appendonlydir"), "green"), "the other's record is there");
    server.start_again();
    let again = server.store("erased").await;
    assert_eq!(again.job_of_any_tenant(&kept.id).await.unwrap(), Some(kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_scrub_at_once() {
    let mut settings = DURABLE.to_vec();
    settings.extend(["--save", "3600 1"]);
    let server = Server::with(&settings);
    let store = Arc::new(server.store("scrubbed").await);
    make(&*store, &sample::tenant(), 1).await;
    for scrubbed in join_all((0..4).map(|_| store.scrub())).await {
        scrubbed.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_be_told_to_rewrite_is_named() {
    let server = Server::durable();
    server
        .say(&["ACL", "SETUSER", "weak", "on", ">secret", "~*", "&*", "+@all", "-bgrewriteaof"])
        .await;
    let url = server.url().replace("redis://", "redis://weak@");
    let options = RedisOptions { password: Some("secret".into()), ..named("weak") };
    let store = RedisStore::open(&url, &options).await.unwrap();
    match store.scrub().await {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("bgrewriteaof"), "{why}"),
        other => panic!("{other:?}"),
    }
}
