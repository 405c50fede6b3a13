//! That no statement of a request costs more because there are more jobs. What is counted are the steps of SQLite's machine: a
//! slow computer takes as many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tempfile::TempDir;
use trainyard_openapi::id::{FileId, TenantId};
use trainyard_openapi::page::{Order, PageRequest};

use super::{Synchronous, jobs, queries, schema};
use crate::contract::sample;
use crate::port::store::{Commit, IdempotencyRecord, JobFilter};

/// A record with jobs of one tenant, and the ids of these.
struct Filled {
    db: Connection,
    tenant: TenantId,
    ids: Vec<String>,
    /// What the last job trains on.
    file: FileId,
    _directory: TempDir,
}

/// A job that counts against a quota, has pairs of metadata, and came under a key.
fn submit(tenant: &TenantId, number: usize) -> Commit {
    let mut job = sample::job(tenant);
    let of = |parts: usize| (number % parts).to_string();
    job.metadata = Some(BTreeMap::from([("team".into(), of(10)), ("run".into(), of(50))]));
    let kept = IdempotencyRecord {
        tenant: tenant.clone(),
        key: number.to_string(),
        request_sha256: String::new(),
        job: job.id.clone(),
        implied: true,
        created_at_ms: 1_000 + number as i64,
    };
    Commit { live_max: Some(1_000_000), idempotency: Some(kept), ..sample::new(job) }
}

fn filled(count: usize) -> Filled {
    let directory = TempDir::new().unwrap();
    let mut db = Connection::open(directory.path().join("record.db")).unwrap();
    schema::prepare(&mut db, Synchronous::Off).unwrap();
    let tenant = sample::tenant();
    let mut ids = Vec::new();
    let mut file = FileId::generate().unwrap();
    let transaction = db.transaction().unwrap();
    for number in 0..count {
        let commit = submit(&tenant, number);
        queries::commit(&transaction, &commit).unwrap();
        ids.push(commit.job.id.to_string());
        file = commit.job.training_file;
    }
    transaction.commit().unwrap();
    Filled { db, tenant, ids, file, _directory: directory }
}

/// Steps that SQLite takes for `work`.
fn steps(filled: &mut Filled, work: impl Fn(&mut Filled)) -> u64 {
    // Once before, so that what is prepared once is.
    work(filled);
    let taken = Arc::new(AtomicU64::new(0));
    let counter = taken.clone();
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    filled.db.progress_handler(1, Some(count)).unwrap();
    work(filled);
    filled.db.progress_handler(1, None::<fn() -> bool>).unwrap();
    taken.load(Ordering::Relaxed)
}

fn page(filled: &Filled, pairs: &[(&str, &str)], deep: bool, order: Order) -> usize {
    let pairs = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let filter = JobFilter { metadata: pairs.collect(), ..JobFilter::default() };
    let after = deep.then(|| filled.ids[filled.ids.len() / 2].clone());
    let page = PageRequest { after, limit: 4, order };
    jobs::page(&filled.db, filled.tenant.as_str(), &filter, &page).unwrap().0.len()
}

type Work = (&'static str, Box<dyn Fn(&mut Filled)>);

fn works() -> Vec<Work> {
    let mut works: Vec<Work> = Vec::new();
    for pairs in [&[][..], &[("team", "7")], &[("team", "7"), ("run", "7")], &[("team", "none")]] {
        let wanted = if pairs.contains(&("team", "none")) { 0 } else { 4 };
        for (deep, order) in [(false, Order::Desc), (true, Order::Desc), (true, Order::Asc)] {
            works.push((
                "a page of jobs",
                Box::new(move |filled| assert_eq!(page(filled, pairs, deep, order), wanted)),
            ));
        }
    }
    works.push((
        "a submit",
        Box::new(|filled| {
            // Undone, so that both records keep their sizes.
            let transaction = filled.db.transaction().unwrap();
            queries::commit(&transaction, &submit(&filled.tenant, 1_000_000)).unwrap();
            transaction.rollback().unwrap();
        }),
    ));
    works.push((
        "whether a job reads a file",
        Box::new(|filled| {
            assert!(!jobs::reads_file(&filled.db, filled.tenant.as_str(), "file-none").unwrap());
        }),
    ));
    works.push((
        "the jobs that read a file",
        Box::new(|filled| {
            let file = filled.file.clone();
            let filter = JobFilter { reads: Some(file), ..JobFilter::default() };
            let page = PageRequest { after: None, limit: 4, order: Order::Desc };
            let found = jobs::page(&filled.db, filled.tenant.as_str(), &filter, &page).unwrap();
            assert_eq!(found.0.len(), 1);
        }),
    ));
    works.push((
        "forgetting old answers",
        Box::new(|filled| {
            let transaction = filled.db.transaction().unwrap();
            queries::forget_answers(&transaction, 1_000).unwrap();
            transaction.rollback().unwrap();
        }),
    ));
    works.push(("the counts", Box::new(|filled| drop(jobs::counts(&filled.db).unwrap()))));
    works.push(("the busy jobs", Box::new(|filled| drop(jobs::busy(&filled.db).unwrap()))));
    works
}

#[test]
fn no_request_takes_more_steps_where_there_are_more_jobs() {
    let (mut few, mut many) = (filled(500), filled(4_000));
    for (what, work) in works() {
        let (of_few, of_many) = (steps(&mut few, &work), steps(&mut many, &work));
        assert!(of_few > 0, "{what}: nothing was counted");
        assert!(
            of_many <= of_few + of_few / 10,
            "{what}: {of_few} steps among 500 jobs, {of_many} among 4000"
        );
    }
    // What gives one row for each job shows that more steps would be seen.
    let all = |filled: &mut Filled| drop(jobs::validating(&filled.db).unwrap());
    assert!(steps(&mut many, all) > 5 * steps(&mut few, all));
}

#[test]
fn lists_of_the_loops_and_sums_of_bytes_read_an_index_alone() {
    let filled = filled(1);
    for sql in [
        "SELECT id FROM jobs WHERE lane = 'validating' ORDER BY seq",
        "SELECT id, tenant, priority, since_ms, pool, devices FROM jobs WHERE lane = 'queued' ORDER BY seq",
        "SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = ?1",
        "SELECT coalesce(sum(bytes), 0) FROM models WHERE tenant = ?1",
    ] {
        let mut plan = filled.db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing = vec![""; plan.parameter_count()];
        let lines =
            plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3));
        for line in lines.unwrap().map(Result::unwrap) {
            assert!(line.contains("USING COVERING INDEX"), "{sql}: {line}");
        }
    }
}
