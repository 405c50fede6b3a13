//! `kill -9` of the server under load: what was acknowledged is there, and nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use trainyard_openapi::id::TenantId;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::audit::verify;
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::job::JobRecord;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::port::store::{JobFilter, Store};

use super::server::Server;

const KILLS: usize = 10;
const WRITERS: usize = 16;

/// Makes jobs and changes each once, until it is told to stop; gives what was acknowledged.
async fn burst(
    store: Arc<dyn Store>,
    tenant: TenantId,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> Vec<JobRecord> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let job = sample::job(&tenant);
        // A server that is away too long leaves the outcome open; the next attempt is another job.
        if store.commit(sample::new(job.clone())).await.is_err() {
            continue;
        }
        let mut next = sample::next(&job);
        next.events = vec![sample::event("changed")];
        next.also = Change::audited(sample::audit_entry(&tenant));
        let changed = store.commit(next.clone()).await;
        acknowledged.push(if changed.is_ok() { next.job } else { job });
        done.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "the figures are the result")]
async fn what_was_acknowledged_outlives_the_server() {
    let mut server = Server::durable();
    let store: Arc<dyn Store> = Arc::new(server.store("kills").await);
    let tenant = sample::tenant();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(burst(store.clone(), tenant.clone(), stop.clone(), done.clone())))
        .collect();
    for kill in 1..=KILLS {
        // Each life of the server acknowledges something, so each kill hits a burst.
        while done.load(Ordering::SeqCst) < kill * 40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        tokio::task::block_in_place(|| server.start_again());
    }
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    drop(store);

    let store = server.store("kills").await;
    let page = |after| PageRequest { after, limit: 1000, order: Order::Asc };
    let mut there = 0;
    for job in &acknowledged {
        let found = store.job(&tenant, &job.id).await.unwrap().expect("an acknowledged job");
        assert!(found.rev >= job.rev, "an acknowledged change is gone");
        let (events, _) = store.events(&job.id, &page(None)).await.unwrap();
        assert_eq!(events.len() as u64, found.rev - 1, "each change has its event, once");
        there += found.rev;
    }
    let (mut all, mut after) = (0, None);
    loop {
        let (jobs, more) =
            store.jobs(&tenant, &JobFilter::default(), &page(after.clone())).await.unwrap();
        all += jobs.iter().map(|job| job.rev).sum::<u64>();
        after = jobs.last().map(|job| job.id.to_string());
        if !more {
            break;
        }
    }
    // Commits beyond those acknowledged are the ones whose writer gave up waiting.
    assert!(all >= there);
    let mut log = Vec::new();
    while let Some(more) = Some(store.audit(&tenant, log.len() as u64, 500).await.unwrap())
        .filter(|more| !more.is_empty())
    {
        log.extend(more);
    }
    verify(&log, None).expect("an unbroken chain");
    println!("{KILLS} kills: {there} commits acknowledged, {all} found, 0 lost");
}
