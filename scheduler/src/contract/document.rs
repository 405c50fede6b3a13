//! What every [`Store`] does with documents, audit logs, usage and files that expire.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::page::{Order, PageRequest};

use super::sample;
use crate::audit::{AuditEntry, verify};
use crate::port::document::{Change, Kind, Stored, Write};
use crate::port::store::{Store, StoreError, UsageRecord};

/// Writers at once in the race.
const RACERS: usize = 20;

/// Holds the store to this part of its contract.
pub(super) async fn holds(open: &impl AsyncFn() -> Arc<dyn Store>) {
    documents(open().await.as_ref()).await;
    document_pages(open().await.as_ref()).await;
    a_change_is_whole(open().await.as_ref()).await;
    chains(open().await).await;
    usage(open().await.as_ref()).await;
    stored_bytes(open().await.as_ref()).await;
    expired_files(open().await.as_ref()).await;
    live_jobs_are_limited(open().await.as_ref()).await;
    implied_keys_give_way(open().await.as_ref()).await;
    old_answers_are_forgotten(open().await.as_ref()).await;
}

fn stored(kind: Kind, id: &str, scope: &str, rev: u64) -> Stored {
    Stored { kind, id: id.into(), scope: scope.into(), rev, record: json!({"ü": [rev, null]}) }
}

fn put(document: &Stored) -> Change {
    Change { writes: vec![Write::Put(document.clone())], audit: Vec::new() }
}

fn entry(tenant: &trainyard_openapi::id::TenantId, number: usize) -> AuditEntry {
    AuditEntry {
        tenant: tenant.clone(),
        at_ms: 5,
        actor: "system".to_string(),
        action: "test".to_string(),
        target: number.to_string(),
        detail: json!({"b": 1, "a": "ü\""}),
    }
}

async fn documents(store: &dyn Store) {
    assert_eq!(store.document_count(Kind::Key).await.unwrap(), 0);
    let first = stored(Kind::Key, "k", "s", 1);
    store.apply(&put(&first)).await.unwrap();
    assert_eq!(store.document(Kind::Key, "k").await.unwrap(), Some(first.clone()));
    assert_eq!(store.document(Kind::Tenant, "k").await.unwrap(), None, "kinds are apart");
    assert_eq!(store.document(Kind::Key, "K").await.unwrap(), None);
    for rev in [1, 3] {
        let answer = store.apply(&put(&stored(Kind::Key, "k", "s", rev))).await;
        assert!(matches!(answer, Err(StoreError::Conflict)), "revision {rev} does not follow 1");
    }
    let second = stored(Kind::Key, "k", "s", 2);
    store.apply(&put(&second)).await.unwrap();
    assert_eq!(store.document(Kind::Key, "k").await.unwrap(), Some(second));
    assert_eq!(store.document_count(Kind::Key).await.unwrap(), 1);
    let delete = |rev| Change {
        writes: vec![Write::Delete { kind: Kind::Key, id: "k".into(), rev }],
        audit: Vec::new(),
    };
    assert!(matches!(store.apply(&delete(1)).await, Err(StoreError::Conflict)));
    store.apply(&delete(2)).await.unwrap();
    assert!(matches!(store.apply(&delete(2)).await, Err(StoreError::Conflict)));
    assert_eq!(store.document(Kind::Key, "k").await.unwrap(), None);
    store.apply(&put(&first)).await.expect("an id that is free again");
}

async fn document_pages(store: &dyn Store) {
    for number in 0..5 {
        for scope in ["a", "b"] {
            let document = stored(Kind::Upload, &format!("{scope}{number}"), scope, 1);
            store.apply(&put(&document)).await.unwrap();
        }
    }
    let page = |after: Option<&str>, order| PageRequest {
        after: after.map(str::to_string),
        limit: 3,
        order,
    };
    let list = async |page: PageRequest| {
        let (documents, more) = store.documents(Kind::Upload, "a", &page).await?;
        Ok::<_, StoreError>((documents.into_iter().map(|d| d.id).collect::<Vec<_>>(), more))
    };
    let (newest, more) = list(page(None, Order::Desc)).await.unwrap();
    assert_eq!((newest, more), (vec!["a4".into(), "a3".into(), "a2".into()], true));
    let (rest, more) = list(page(Some("a2"), Order::Desc)).await.unwrap();
    assert_eq!((rest, more), (vec!["a1".into(), "a0".into()], false));
    let (oldest, _) = list(page(None, Order::Asc)).await.unwrap();
    assert_eq!(oldest, ["a0", "a1", "a2"]);
    let answer = list(page(Some("b1"), Order::Desc)).await;
    assert!(matches!(answer, Err(StoreError::UnknownCursor(_))), "a cursor of another scope");
}

async fn a_change_is_whole(store: &dyn Store) {
    let tenant = sample::tenant();
    store.apply(&put(&stored(Kind::Key, "there", "s", 1))).await.unwrap();
    let mut change = put(&stored(Kind::Key, "new", "s", 1));
    change.writes.push(Write::Put(stored(Kind::Key, "there", "s", 1)));
    change.audit.push(entry(&tenant, 0));
    assert!(matches!(store.apply(&change).await, Err(StoreError::Conflict)));
    assert_eq!(store.document(Kind::Key, "new").await.unwrap(), None);
    assert_eq!(store.audit(&tenant, 0, 9).await.unwrap(), vec![]);
    let job = sample::made(store, sample::job(&tenant)).await;
    let mut commit = sample::next(&job);
    commit.also = change;
    assert!(matches!(store.commit(commit).await, Err(StoreError::Conflict)));
    assert_eq!(store.job(&tenant, &job.id).await.unwrap(), Some(job.clone()));
    let file = sample::file(&tenant, Purpose::FineTune);
    let taken = put(&stored(Kind::Key, "there", "s", 1));
    assert!(matches!(store.put_file(&file, &taken).await, Err(StoreError::Conflict)));
    assert_eq!(store.file(&tenant, &file.id).await.unwrap(), None);
    store.put_file(&file, &Change::none()).await.unwrap();
    assert!(store.delete_file(&tenant, &file.id, &taken).await.is_err());
    assert_eq!(store.file(&tenant, &file.id).await.unwrap(), Some(file.clone()));
    let with = Change::audited(entry(&tenant, 1));
    assert!(!store.delete_file(&sample::tenant(), &file.id, &with).await.unwrap());
    assert_eq!(store.audit(&tenant, 0, 9).await.unwrap(), vec![], "nothing was deleted");
    assert!(store.delete_file(&tenant, &file.id, &with).await.unwrap());
    assert_eq!(store.audit(&tenant, 0, 9).await.unwrap().len(), 1);
}

async fn chains(store: Arc<dyn Store>) {
    let (one, two) = (sample::tenant(), sample::tenant());
    let writes = (0..RACERS).map(|number| {
        let (store, tenant) = (store.clone(), if number % 2 == 0 { &one } else { &two }.clone());
        tokio::spawn(async move { store.apply(&Change::audited(entry(&tenant, number))).await })
    });
    for written in join_all(writes).await {
        written.unwrap().unwrap();
    }
    for tenant in [&one, &two] {
        let whole = store.audit(tenant, 0, 99).await.unwrap();
        assert_eq!(whole.len(), RACERS / 2);
        let head = verify(&whole, None).expect("an unbroken chain").unwrap();
        assert_eq!(head.0, RACERS as u64 / 2);
        assert_eq!(store.audit(tenant, 3, 2).await.unwrap(), whole[3..5]);
    }
}

async fn usage(store: &dyn Store) {
    let mut job = sample::made(store, sample::job(&sample::tenant())).await;
    for (day, accelerator_ms) in [(10, 5), (11, 7), (10, 1)] {
        let mut commit = sample::next(&job);
        commit.usage = Some(UsageRecord {
            day,
            accelerator_ms,
            trained_tokens: 2,
            jobs_created: 1,
            jobs_succeeded: 0,
        });
        store.commit(commit.clone()).await.unwrap();
        job = commit.job;
    }
    let days = store.usage(&job.tenant, 10, 11).await.unwrap();
    let tenth = UsageRecord {
        day: 10,
        accelerator_ms: 6,
        trained_tokens: 4,
        jobs_created: 2,
        jobs_succeeded: 0,
    };
    assert_eq!(days[0], tenth);
    assert_eq!(days[1].accelerator_ms, 7);
    assert_eq!(store.usage(&job.tenant, 11, 99).await.unwrap().len(), 1);
    assert_eq!(store.usage(&sample::tenant(), 0, 99).await.unwrap(), vec![]);
}

async fn stored_bytes(store: &dyn Store) {
    let job = sample::made(store, sample::job(&sample::tenant())).await;
    let mut file = sample::file(&job.tenant, Purpose::FineTune);
    file.bytes = 100;
    store.put_file(&file, &Change::none()).await.unwrap();
    let mut commit = sample::next(&job);
    let mut model = sample::model(&job, "ft:bytes");
    model.bytes = 23;
    commit.model = Some(model);
    store.commit(commit).await.unwrap();
    assert_eq!(store.stored_bytes(&job.tenant).await.unwrap(), 123);
    store.delete_file(&job.tenant, &file.id, &Change::none()).await.unwrap();
    assert_eq!(store.stored_bytes(&job.tenant).await.unwrap(), 23);
    assert_eq!(store.stored_bytes(&sample::tenant()).await.unwrap(), 0);
}

async fn expired_files(store: &dyn Store) {
    let mut due = Vec::new();
    for at in [Some(30), None, Some(10), Some(20)] {
        let mut file = sample::file(&sample::tenant(), Purpose::FineTune);
        file.expires_at_ms = at;
        store.put_file(&file, &Change::none()).await.unwrap();
        due.extend(at.map(|at| (at, file)));
    }
    due.sort_by_key(|(at, _)| *at);
    let due: Vec<_> = due.into_iter().map(|(_, file)| file).collect();
    assert_eq!(store.expired_files(9, 9).await.unwrap(), vec![]);
    assert_eq!(store.expired_files(20, 9).await.unwrap(), due[..2]);
    assert_eq!(store.expired_files(99, 1).await.unwrap(), due[..1]);
}

async fn live_jobs_are_limited(store: &dyn Store) {
    let tenant = sample::tenant();
    let limited = || {
        let mut commit = sample::new(sample::job(&tenant));
        commit.live_max = Some(1);
        commit
    };
    sample::made(store, sample::job(&sample::tenant())).await;
    let first = limited();
    store.commit(first.clone()).await.unwrap();
    let second = limited();
    assert!(matches!(store.commit(second.clone()).await, Err(StoreError::TooManyLive(1))));
    assert_eq!(store.job(&tenant, &second.job.id).await.unwrap(), None);
    store.commit(sample::ended(&first.job)).await.unwrap();
    store.commit(second).await.expect("the first has ended");
}

async fn implied_keys_give_way(store: &dyn Store) {
    let tenant = sample::tenant();
    let under = |implied: bool| {
        let mut commit = sample::new(sample::job(&tenant));
        let mut kept = sample::idempotency(&commit.job, "k");
        kept.implied = implied;
        commit.idempotency = Some(kept);
        commit
    };
    store.commit(under(true)).await.unwrap();
    let second = under(true);
    store.commit(second.clone()).await.unwrap();
    assert_eq!(store.idempotency(&tenant, "k").await.unwrap(), second.idempotency);
}

async fn old_answers_are_forgotten(store: &dyn Store) {
    let tenant = sample::tenant();
    for (key, at) in [("old", 10), ("new", 20)] {
        let mut commit = sample::new(sample::job(&tenant));
        let mut kept = sample::idempotency(&commit.job, key);
        kept.created_at_ms = at;
        commit.idempotency = Some(kept);
        store.commit(commit).await.unwrap();
    }
    store.forget_answers(20).await.unwrap();
    assert_eq!(store.idempotency(&tenant, "old").await.unwrap(), None);
    assert!(store.idempotency(&tenant, "new").await.unwrap().is_some());
}
