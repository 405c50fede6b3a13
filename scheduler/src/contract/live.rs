//! What every store tells of jobs that have not ended: the lists that the scheduler's loops work through, and the files in use.

use std::sync::Arc;

use trainyard_openapi::extension::Priority;
use trainyard_openapi::id::FileId;

use super::sample;
use crate::job::JobRecord;
use crate::job::state::Transition;
use crate::port::store::{QueuedJob, Store};

pub(super) async fn holds(open: &impl AsyncFn() -> Arc<dyn Store>) {
    lists_of_the_loops(open().await.as_ref()).await;
    live_jobs_and_their_files(open().await.as_ref()).await;
}

async fn live_jobs_and_their_files(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let one = sample::made(store, sample::job(&tenant)).await;
    let two = sample::made(store, sample::job(&stranger)).await;
    let three = sample::made(store, sample::job(&tenant)).await;
    let validating = vec![one.id.clone(), two.id.clone(), three.id.clone()];
    assert_eq!(store.validating_jobs().await.unwrap(), validating);
    assert_eq!(store.live_count(&tenant).await.unwrap(), 2);
    let validation = one.validation_file.clone().unwrap();
    for file in [&one.training_file, &validation] {
        assert!(store.file_in_use(&tenant, file).await.unwrap());
        assert!(!store.file_in_use(&stranger, file).await.unwrap());
    }
    type Uses = fn(&mut JobRecord, &FileId);
    for uses in [sample::trains_later as Uses, sample::measures_later, sample::holds_out] {
        let (file, mut staged) = (FileId::generate().unwrap(), sample::job(&tenant));
        uses(&mut staged, &file);
        let staged = sample::made(store, staged).await;
        assert!(store.file_in_use(&tenant, &file).await.unwrap());
        store.commit(sample::ended(&staged)).await.unwrap();
        assert!(!store.file_in_use(&tenant, &file).await.unwrap(), "the job has ended");
    }
    assert!(!store.file_in_use(&tenant, &FileId::generate().unwrap()).await.unwrap());
    store.commit(sample::ended(&one)).await.unwrap();
    assert_eq!(store.validating_jobs().await.unwrap(), vec![two.id, three.id]);
    assert_eq!(store.live_count(&tenant).await.unwrap(), 1);
    assert_eq!(store.live_count(&sample::tenant()).await.unwrap(), 0);
    assert!(!store.file_in_use(&tenant, &validation).await.unwrap(), "the job has ended");
}

async fn lists_of_the_loops(store: &dyn Store) {
    let tenant = sample::tenant();
    let mut high = sample::job(&tenant);
    high.plan.resources.priority = Priority::High;
    let in_lab = |mut job: JobRecord| {
        (job.plan.resources.pool, job.plan.resources.devices) = ("lab".to_string(), 3);
        job
    };
    let first = sample::made(store, in_lab(high)).await;
    let second = sample::made(store, in_lab(sample::job(&tenant))).await;
    let lists = async || {
        let validating = store.validating_jobs().await.unwrap();
        (validating, store.queued_jobs().await.unwrap(), store.busy_jobs().await.unwrap())
    };
    let change = async |job: &JobRecord, transition: Transition| {
        let mut commit = sample::next(job);
        commit.job.state = job.state.clone().apply(transition).unwrap();
        store.commit(commit.clone()).await.unwrap();
        commit.job
    };
    // In the order of their making, whichever was queued first.
    let second = change(&second, Transition::Validated { now_ms: 5 }).await;
    let first = change(&first, Transition::Validated { now_ms: 7 }).await;
    let queued = |job: &JobRecord, priority: Priority, since_ms: i64| {
        let (id, tenant, pool) = (job.id.clone(), job.tenant.clone(), "lab".to_string());
        QueuedJob { id, tenant, priority, since_ms, pool, devices: 3 }
    };
    let (of_first, of_second) =
        (queued(&first, Priority::High, 7), queued(&second, Priority::Normal, 5));
    assert_eq!(lists().await, (vec![], vec![of_first.clone(), of_second], vec![]));
    let second = change(&second, Transition::Dispatch { now_ms: 9 }).await;
    assert_eq!(lists().await, (vec![], vec![of_first], vec![second.clone()]));
    let second = change(&second, Transition::Return { now_ms: 11 }).await;
    let paused = change(&first, Transition::Pause).await;
    assert_eq!(lists().await, (vec![], vec![queued(&second, Priority::Normal, 11)], vec![]));
    assert_eq!(store.live_count(&tenant).await.unwrap(), 2, "a paused job has not ended");
    store.commit(sample::ended(&paused)).await.unwrap();
    store.commit(sample::ended(&second)).await.unwrap();
    assert_eq!(lists().await, (vec![], vec![], vec![]));
    assert_eq!(store.live_count(&tenant).await.unwrap(), 0);
}
