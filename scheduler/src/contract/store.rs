//! What every [`Store`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{FileId, JobId, TenantId};
use trainyard_openapi::page::{Order, PageRequest};

use serde::Deserialize;

use super::sample;
use crate::job::JobRecord;
use crate::port::document::{Change, Kind};
use crate::port::store::{Commit, JobFilter, Slice, Store, StoreError};
use crate::tenant::KeyRecord;

/// Writers at once in the races.
const RACERS: usize = 20;

/// Holds the store to its contract. `open` gives an empty store each time.
///
/// # Panics
/// Where the contract does not hold.
pub async fn holds(open: impl AsyncFn() -> Arc<dyn Store>) {
    super::document::holds(&open).await;
    files(open().await.as_ref()).await;
    file_pages(open().await.as_ref()).await;
    a_commit_writes_all(open().await.as_ref()).await;
    a_refused_commit_writes_nothing(open().await.as_ref()).await;
    taken_ids_are_conflicts(open().await.as_ref()).await;
    jobs_by_metadata(open().await.as_ref()).await;
    jobs_of_tenants(open().await.as_ref()).await;
    super::live::holds(&open).await;
    history(open().await.as_ref()).await;
    checkpoints(open().await.as_ref()).await;
    models(open().await.as_ref()).await;
    what_a_job_made_is_erased(open().await.as_ref()).await;
    jobs_by_what_they_go_on_from(open().await.as_ref()).await;
    jobs_and_files_by_content(open().await.as_ref()).await;
    outbox(open().await.as_ref()).await;
    one_key_makes_one_job(open().await).await;
    one_revision_is_followed_by_one(open().await).await;
    no_change_is_lost(open().await).await;
}

/// Holds a durable store to its promise. `open` opens the same data each time; the store before is dropped by then.
///
/// # Panics
/// Where something that was acknowledged is not there.
pub async fn survives(open: impl AsyncFn() -> Arc<dyn Store>) {
    let tenant = sample::tenant();
    let (key, file) = (sample::key("survivor", &tenant), sample::file(&tenant, Purpose::FineTune));
    let job = {
        let store = open().await;
        store.apply(&Change::none().put(&key, 1).unwrap()).await.unwrap();
        store.put_file(&file, &Change::none()).await.unwrap();
        sample::made(store.as_ref(), sample::job(&tenant)).await
    };
    let commit = sample::whole(&job, "ft:tiny::kept");
    open().await.commit(commit.clone()).await.unwrap();
    // Twice: opening changes nothing.
    for _ in 0..2 {
        let store = open().await;
        let kept = store.document(Kind::Key, "survivor").await.unwrap().expect("the key");
        assert_eq!(KeyRecord::deserialize(&kept.record).unwrap(), key);
        assert_eq!(store.file(&tenant, &file.id).await.unwrap(), Some(file.clone()));
        assert_written(store.as_ref(), &commit).await;
    }
}

async fn files(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let file = sample::file(&tenant, Purpose::FineTune);
    assert_eq!(store.file(&tenant, &file.id).await.unwrap(), None);
    store.put_file(&file, &Change::none()).await.unwrap();
    store.put_file(&file, &Change::none()).await.expect("the same record again");
    let mut stolen = file.clone();
    stolen.tenant = stranger.clone();
    assert!(matches!(store.put_file(&stolen, &Change::none()).await, Err(StoreError::Conflict)));
    assert_eq!(store.file(&tenant, &file.id).await.unwrap(), Some(file.clone()));
    assert_eq!(store.file(&stranger, &file.id).await.unwrap(), None);
    assert_eq!(store.files(&stranger, None, &first(9)).await.unwrap(), (vec![], false));
    assert!(
        !store.delete_file(&stranger, &file.id, &Change::none()).await.unwrap(),
        "not a stranger's to delete"
    );
    assert!(store.file(&tenant, &file.id).await.unwrap().is_some());
    assert!(store.delete_file(&tenant, &file.id, &Change::none()).await.unwrap());
    assert!(!store.delete_file(&tenant, &file.id, &Change::none()).await.unwrap());
    assert_eq!(store.file(&tenant, &file.id).await.unwrap(), None);
}

async fn file_pages(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let mut all = Vec::new();
    for number in 0..7 {
        let purpose = if number % 3 == 0 { Purpose::FineTuneResults } else { Purpose::FineTune };
        let file = sample::file(&tenant, purpose);
        store.put_file(&file, &Change::none()).await.unwrap();
        let foreign = sample::file(&stranger, purpose);
        store.put_file(&foreign, &Change::none()).await.unwrap();
        all.push(file);
    }
    for purpose in [None, Some(Purpose::FineTune), Some(Purpose::FineTuneResults)] {
        for order in [Order::Asc, Order::Desc] {
            let mut expected: Vec<FileId> = all
                .iter()
                .filter(|file| purpose.is_none_or(|purpose| file.purpose == purpose))
                .map(|file| file.id.clone())
                .collect();
            if order == Order::Desc {
                expected.reverse();
            }
            for limit in 1..9 {
                let seen = walk(limit, order, async |page| {
                    let (files, more) = store.files(&tenant, purpose, &page).await?;
                    Ok((files.into_iter().map(|file| file.id.to_string()).collect(), more))
                });
                let expected: Vec<String> = expected.iter().map(FileId::to_string).collect();
                assert_eq!(seen.await, expected, "{purpose:?} {order:?} in pages of {limit}");
            }
        }
    }
    let (foreign, _) = store.files(&stranger, None, &first(1)).await.unwrap();
    for cursor in [foreign[0].id.as_str(), "", "file-", "' OR 1=1 --"] {
        let answer = store.files(&tenant, None, &after(cursor)).await;
        assert!(
            matches!(&answer, Err(StoreError::UnknownCursor(seen)) if seen == cursor),
            "{cursor}: {answer:?}"
        );
    }
}

async fn a_commit_writes_all(store: &dyn Store) {
    let job = sample::made(store, sample::job(&sample::tenant())).await;
    assert_eq!(store.job(&job.tenant, &job.id).await.unwrap(), Some(job.clone()));
    let commit = sample::whole(&job, "ft:tiny::whole");
    store.commit(commit.clone()).await.unwrap();
    assert_written(store, &commit).await;
}

async fn what_a_job_made_is_erased(store: &dyn Store) {
    let tenant = sample::tenant();
    let (mut job, other) = (sample::job(&tenant), sample::job(&tenant));
    for (made, name) in [(&mut job, "ft:tiny::gone"), (&mut other.clone(), "ft:tiny::other")] {
        *made = sample::made(store, made.clone()).await;
        let mut commit = sample::whole(made, name);
        let file = commit.result_file.as_mut().unwrap();
        file.key = format!("jobs/{}/e1-x/adapter/metrics.csv", made.id);
        *made = commit.job.clone();
        store.commit(commit).await.unwrap();
    }
    let mut erase = Commit::of(job.clone());
    erase.job.rev += 1;
    erase.erases = true;
    erase.events = vec![sample::event("erased")];
    store.commit(erase.clone()).await.unwrap();
    store.scrub().await.unwrap();
    let (events, _) = store.events(&job.id, &first(99)).await.unwrap();
    assert_eq!(events, erase.events, "its own event alone");
    assert_eq!(store.all_checkpoints(&job.id).await.unwrap(), vec![]);
    let models: Vec<String> =
        store.models(&tenant).await.unwrap().into_iter().map(|model| model.id).collect();
    assert_eq!(models, ["ft:tiny::other"]);
    let (files, _) = store.files(&tenant, None, &first(9)).await.unwrap();
    assert_eq!(files.len(), 1, "the other job's result file");
    assert!(files[0].key.starts_with(&format!("jobs/{}/", other.id)));
    assert_eq!(store.all_checkpoints(&other.id).await.unwrap().len(), 1);
    assert_eq!(store.events(&other.id, &first(9)).await.unwrap().0.len(), 2);
    assert!(matches!(store.commit(erase).await, Err(StoreError::Conflict)));

    let neighbour = sample::made(store, sample::job(&sample::tenant())).await;
    store.forget_tenant(&tenant).await.unwrap();
    store.forget_tenant(&tenant).await.expect("a repeat");
    assert_eq!(store.jobs(&tenant, &JobFilter::default(), &first(9)).await.unwrap().0, vec![]);
    assert_eq!(store.events(&other.id, &first(9)).await.unwrap().0, vec![]);
    assert_eq!(store.all_checkpoints(&other.id).await.unwrap(), vec![]);
    assert_eq!(store.models(&tenant).await.unwrap(), vec![]);
    assert_eq!(store.files(&tenant, None, &first(9)).await.unwrap().0, vec![]);
    assert_eq!(store.outbox().await.unwrap(), vec![]);
    assert_eq!(store.job_of_any_tenant(&neighbour.id).await.unwrap(), Some(neighbour));
}

async fn jobs_and_files_by_content(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let (file, other) =
        (sample::file(&tenant, Purpose::FineTune), sample::file(&tenant, Purpose::FineTune));
    let mut differs = sample::file(&tenant, Purpose::FineTune);
    differs.sha256 = "ab".repeat(32);
    let foreign = sample::file(&stranger, Purpose::FineTune);
    for file in [&file, &other, &differs, &foreign] {
        store.put_file(file, &Change::none()).await.unwrap();
    }
    let same = store.files_of_content(&tenant, &file.sha256).await.unwrap();
    assert_eq!(same, [file.clone(), other.clone()]);
    let mut readers = Vec::new();
    for (training, validation) in [
        (&file.id, None),
        (&other.id, Some(&file.id)),
        (&file.id, Some(&file.id)),
        (&other.id, Some(&differs.id)),
    ] {
        let mut job = sample::job(&tenant);
        job.training_file = training.clone();
        job.validation_file = validation.cloned();
        readers.push(sample::made(store, job).await);
    }
    // A later stage's files and the held-out file are read as well.
    for stage_of in [
        sample::trains_later as fn(&mut JobRecord, &FileId),
        sample::measures_later,
        sample::holds_out,
    ] {
        let mut job = sample::job(&tenant);
        (job.training_file, job.validation_file) = (other.id.clone(), None);
        stage_of(&mut job, &file.id);
        readers.push(sample::made(store, job).await);
    }
    let mut spy = sample::job(&stranger);
    spy.training_file = file.id.clone();
    sample::made(store, spy).await;
    let filter = JobFilter { reads: Some(file.id.clone()), ..JobFilter::default() };
    let page = PageRequest { order: Order::Asc, ..first(9) };
    let (found, _) = store.jobs(&tenant, &filter, &page).await.unwrap();
    readers.remove(3);
    assert_eq!(found, readers);
    let newest = readers.last().unwrap();
    store.commit(sample::ended(newest)).await.unwrap();
    let (found, more) = store.jobs(&tenant, &filter, &first(2)).await.unwrap();
    assert_eq!(
        (found.len(), found[0].id == newest.id, more),
        (2, true, true),
        "it read it all the same"
    );
}

async fn jobs_by_what_they_go_on_from(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let before = sample::made(store, sample::job(&tenant)).await;
    let mut heirs = Vec::new();
    for (whose, from) in [(&tenant, Some(&before)), (&tenant, None), (&stranger, Some(&before))] {
        let mut job = sample::job(whose);
        job.parent = from.map(sample::parent);
        heirs.push(sample::made(store, job).await);
    }
    let of = async |tenant: &TenantId, job: &JobRecord, reads: Option<FileId>| {
        let continues = Some(job.id.clone());
        let filter = JobFilter { continues, reads, ..JobFilter::default() };
        store.jobs(tenant, &filter, &first(9)).await.unwrap().0
    };
    assert_eq!(of(&tenant, &before, None).await, heirs[..1]);
    assert_eq!(of(&stranger, &before, None).await, heirs[2..]);
    assert_eq!(of(&tenant, &heirs[0], None).await, vec![]);
    let read = heirs[0].training_file.clone();
    assert_eq!(of(&tenant, &before, Some(read)).await, heirs[..1]);
    let other = heirs[1].training_file.clone();
    assert_eq!(of(&tenant, &before, Some(other)).await, vec![]);
}

async fn a_refused_commit_writes_nothing(store: &dyn Store) {
    let tenant = sample::tenant();
    let unknown = sample::whole(&sample::job(&tenant), "ft:unknown");
    assert!(matches!(store.commit(unknown.clone()).await, Err(StoreError::Conflict)));
    assert_not_written(store, &unknown).await;
    assert_eq!(store.job_of_any_tenant(&unknown.job.id).await.unwrap(), None);

    let job = sample::made(store, sample::job(&tenant)).await;
    for expected_rev in [0, 2, 7] {
        let mut late = sample::whole(&job, "ft:late");
        late.expected_rev = expected_rev;
        late.job.rev = expected_rev + 1;
        assert!(matches!(store.commit(late.clone()).await, Err(StoreError::Conflict)));
        assert_not_written(store, &late).await;
        assert_eq!(store.job(&tenant, &job.id).await.unwrap(), Some(job.clone()));
    }

    let mut first = sample::new(sample::job(&tenant));
    first.idempotency = Some(sample::idempotency(&first.job, "taken"));
    store.commit(first.clone()).await.unwrap();
    let mut second = sample::whole(&job, "ft:second");
    second.idempotency = Some(sample::idempotency(&job, "taken"));
    assert!(matches!(store.commit(second.clone()).await, Err(StoreError::Conflict)));
    second.idempotency = None;
    assert_not_written(store, &second).await;
    assert_eq!(store.job(&tenant, &job.id).await.unwrap(), Some(job));
    let kept = store.idempotency(&tenant, "taken").await.unwrap();
    assert_eq!(kept, first.idempotency, "the first answer stays");
}

async fn taken_ids_are_conflicts(store: &dyn Store) {
    let tenant = sample::tenant();
    let one = sample::made(store, sample::job(&tenant)).await;
    let two = sample::made(store, sample::job(&sample::tenant())).await;
    store.commit(sample::whole(&one, "ft:tiny::one")).await.unwrap();
    let mut same_model = sample::next(&two);
    same_model.model = Some(sample::model(&two, "ft:tiny::one"));
    same_model.events = vec![sample::event("never")];
    assert!(matches!(store.commit(same_model).await, Err(StoreError::Conflict)));
    assert_eq!(store.events(&two.id, &first(9)).await.unwrap(), (vec![], false));
    assert_eq!(store.model(&two.tenant, "ft:tiny::one").await.unwrap(), None);
}

async fn jobs_by_metadata(store: &dyn Store) {
    let tenant = sample::tenant();
    let odd = "a.b[0]\"'\\$ü😀%_";
    let plain = sample::made(store, sample::job(&tenant)).await;
    let one = sample::made(store, sample::with_metadata(&tenant, &[("team", "a")])).await;
    let both = [("team", "a"), (odd, odd), ("n", "1")];
    let two = sample::made(store, sample::with_metadata(&tenant, &both)).await;
    let other = sample::made(store, sample::with_metadata(&tenant, &[("team", "A")])).await;
    sample::made(store, sample::with_metadata(&sample::tenant(), &both)).await;
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Pairs<'_>, Vec<&JobRecord>); 8] = [
        (&[], vec![&other, &two, &one, &plain]),
        (&[("team", "a")], vec![&two, &one]),
        (&[("team", "A")], vec![&other]),
        (&[("team", "a"), (odd, odd)], vec![&two]),
        (&[("n", "1")], vec![&two]),
        (&[("team", "a"), ("n", "2")], vec![]),
        (&[("team", "")], vec![]),
        (&[("metadata", "null")], vec![]),
    ];
    for (pairs, expected) in cases {
        let pairs = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let filter =
            JobFilter { metadata: pairs.collect::<BTreeMap<_, _>>(), ..JobFilter::default() };
        let expected: Vec<String> = expected.iter().map(|job| job.id.to_string()).collect();
        for limit in 1..4 {
            let seen = walk(limit, Order::Desc, async |page| {
                ids(store.jobs(&tenant, &filter, &page).await?)
            });
            assert_eq!(seen.await, expected, "{filter:?} in pages of {limit}");
        }
    }
}

async fn jobs_of_tenants(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let job = sample::made(store, sample::job(&tenant)).await;
    let foreign = sample::made(store, sample::job(&stranger)).await;
    assert_eq!(store.job(&stranger, &job.id).await.unwrap(), None);
    assert_eq!(store.job_of_any_tenant(&job.id).await.unwrap(), Some(job.clone()));
    assert_eq!(store.job_of_any_tenant(&JobId::generate().unwrap()).await.unwrap(), None);
    let listed = store.jobs(&tenant, &JobFilter::default(), &first(9)).await.unwrap();
    assert_eq!(listed, (vec![job], false));
    let answer = store.jobs(&tenant, &JobFilter::default(), &after(foreign.id.as_str())).await;
    assert!(matches!(answer, Err(StoreError::UnknownCursor(_))), "{answer:?}");
}

async fn history(store: &dyn Store) {
    let job = sample::made(store, sample::job(&sample::tenant())).await;
    let other = sample::made(store, sample::job(&job.tenant)).await;
    let mut expected = Vec::new();
    let mut current = job.clone();
    for number in 0..3 {
        let mut commit = sample::next(&current);
        commit.events = (0..3).map(|part| sample::event(&format!("{number}.{part}"))).collect();
        expected.extend(commit.events.clone());
        store.commit(commit.clone()).await.unwrap();
        current = commit.job;
        let mut noise = sample::next(&store.job(&other.tenant, &other.id).await.unwrap().unwrap());
        noise.events = vec![sample::event("of the other job")];
        store.commit(noise).await.unwrap();
    }
    let oldest_first = PageRequest { order: Order::Asc, ..first(99) };
    assert_eq!(store.events(&job.id, &oldest_first).await.unwrap(), (expected.clone(), false));
    expected.reverse();
    let expected: Vec<String> = expected.iter().map(|event| event.id.to_string()).collect();
    let seen = walk(2, Order::Desc, async |page| {
        let (events, more) = store.events(&job.id, &page).await?;
        Ok((events.iter().map(|event| event.id.to_string()).collect(), more))
    });
    assert_eq!(seen.await, expected);
    let (noise, _) = store.events(&other.id, &first(1)).await.unwrap();
    let answer = store.events(&job.id, &after(noise[0].id.as_str())).await;
    assert!(matches!(answer, Err(StoreError::UnknownCursor(_))), "a cursor of another job");
}

async fn checkpoints(store: &dyn Store) {
    let job = sample::made(store, sample::job(&sample::tenant())).await;
    let other = sample::made(store, sample::job(&job.tenant)).await;
    let mut made = Vec::new();
    let mut current = job.clone();
    for step in [5, 10, 15] {
        let mut commit = sample::next(&current);
        commit.checkpoint = Some(sample::checkpoint(&job, step));
        made.extend(commit.checkpoint.clone());
        store.commit(commit.clone()).await.unwrap();
        current = commit.job;
    }
    assert_eq!(store.all_checkpoints(&job.id).await.unwrap(), made);
    assert_eq!(store.all_checkpoints(&other.id).await.unwrap(), vec![]);
    let newest = store.checkpoints(&job.id, &first(2)).await.unwrap();
    assert_eq!(newest, (vec![made[2].clone(), made[1].clone()], true));
    let rest = store.checkpoints(&job.id, &after(made[1].id.as_str())).await.unwrap();
    assert_eq!(rest, (vec![made[0].clone()], false));
    store.delete_checkpoint(&other.id, &made[0].id).await.unwrap();
    assert_eq!(store.all_checkpoints(&job.id).await.unwrap().len(), 3, "not the other job's");
    for _ in 0..2 {
        store.delete_checkpoint(&job.id, &made[0].id).await.unwrap();
        assert_eq!(store.all_checkpoints(&job.id).await.unwrap(), made[1..]);
    }
}

async fn models(store: &dyn Store) {
    let (tenant, stranger) = (sample::tenant(), sample::tenant());
    let mut made = Vec::new();
    for name in ["ft:b", "ft:a", "ft:ü\"'"] {
        let job = sample::made(store, sample::job(&tenant)).await;
        let mut commit = sample::next(&job);
        commit.model = Some(sample::model(&job, name));
        made.extend(commit.model.clone());
        store.commit(commit).await.unwrap();
    }
    made.reverse();
    assert_eq!(store.models(&tenant).await.unwrap(), made);
    assert_eq!(store.models(&stranger).await.unwrap(), vec![]);
    assert_eq!(store.model(&tenant, "ft:a").await.unwrap(), Some(made[1].clone()));
    assert_eq!(store.model(&stranger, "ft:a").await.unwrap(), None);
    assert!(!store.delete_model(&stranger, "ft:a", &Change::none()).await.unwrap());
    assert!(store.delete_model(&tenant, "ft:a", &Change::none()).await.unwrap());
    assert!(!store.delete_model(&tenant, "ft:a", &Change::none()).await.unwrap());
    assert_eq!(store.models(&tenant).await.unwrap(), vec![made[0].clone(), made[2].clone()]);
}

async fn outbox(store: &dyn Store) {
    let job = sample::made(store, sample::job(&sample::tenant())).await;
    let other = sample::made(store, sample::job(&sample::tenant())).await;
    let mut tickets = Vec::new();
    let mut current = job.clone();
    for seq in 1..=2 {
        let mut commit = sample::next(&current);
        commit.ticket = Some(sample::ticket(&job, seq));
        tickets.extend(commit.ticket.clone());
        store.commit(commit.clone()).await.unwrap();
        current = commit.job;
    }
    let mut commit = sample::next(&other);
    commit.ticket = Some(sample::ticket(&other, 1));
    tickets.extend(commit.ticket.clone());
    store.commit(commit).await.unwrap();
    assert_eq!(store.outbox().await.unwrap(), tickets);
    for _ in 0..2 {
        store.ticket_sent(&tickets[0]).await.unwrap();
        assert_eq!(store.outbox().await.unwrap(), tickets[1..]);
    }
}

async fn one_key_makes_one_job(store: Arc<dyn Store>) {
    let tenant = sample::tenant();
    let racers = (0..RACERS).map(|_| {
        let (store, mut commit) = (store.clone(), sample::new(sample::job(&tenant)));
        commit.idempotency = Some(sample::idempotency(&commit.job, "once"));
        tokio::spawn(async move { store.commit(commit).await })
    });
    assert_one_wins(join_all(racers).await);
    let (jobs, _) = store.jobs(&tenant, &JobFilter::default(), &first(99)).await.unwrap();
    let kept = store.idempotency(&tenant, "once").await.unwrap().unwrap();
    assert_eq!((jobs.len(), &jobs[0].id), (1, &kept.job));
    assert_eq!(store.idempotency(&sample::tenant(), "once").await.unwrap(), None);
    let mut foreign = sample::new(sample::job(&sample::tenant()));
    foreign.idempotency = Some(sample::idempotency(&foreign.job, "once"));
    store.commit(foreign).await.expect("another tenant's key of the same text");
}

async fn one_revision_is_followed_by_one(store: Arc<dyn Store>) {
    let job = sample::made(store.as_ref(), sample::job(&sample::tenant())).await;
    let racers = (0..RACERS).map(|number| {
        let (store, mut commit) = (store.clone(), sample::next(&job));
        commit.job.progress.step = number as u64;
        commit.events = vec![sample::event(&number.to_string())];
        tokio::spawn(async move { store.commit(commit).await })
    });
    assert_one_wins(join_all(racers).await);
    let after = store.job(&job.tenant, &job.id).await.unwrap().unwrap();
    let (events, _) = store.events(&job.id, &first(99)).await.unwrap();
    assert_eq!((after.rev, events.len()), (2, 1));
    assert_eq!(events[0].message, after.progress.step.to_string(), "job and event of one commit");
}

async fn no_change_is_lost(store: Arc<dyn Store>) {
    let job = sample::made(store.as_ref(), sample::job(&sample::tenant())).await;
    let racers = (0..RACERS).map(|_| {
        let (store, tenant, id) = (store.clone(), job.tenant.clone(), job.id.clone());
        tokio::spawn(async move {
            loop {
                let read = store.job(&tenant, &id).await.unwrap().unwrap();
                let mut commit = sample::next(&read);
                commit.job.progress.tokens += 1;
                match store.commit(commit).await {
                    Err(StoreError::Conflict) => {}
                    other => return other.unwrap(),
                }
            }
        })
    });
    join_all(racers).await.into_iter().for_each(|racer| racer.unwrap());
    let after = store.job(&job.tenant, &job.id).await.unwrap().unwrap();
    assert_eq!((after.progress.tokens, after.rev), (RACERS as u64, 1 + RACERS as u64));
}

fn assert_one_wins(racers: Vec<Result<Result<(), StoreError>, tokio::task::JoinError>>) {
    let (mut won, mut lost) = (0, 0);
    for racer in racers {
        match racer.unwrap() {
            Ok(()) => won += 1,
            Err(StoreError::Conflict) => lost += 1,
            Err(other) => panic!("neither done nor a conflict: {other}"),
        }
    }
    assert_eq!((won, lost), (1, RACERS - 1));
}

/// Everything of `commit` is there.
async fn assert_written(store: &dyn Store, commit: &Commit) {
    let Commit {
        job,
        expected_rev: _,
        events,
        checkpoint,
        model,
        result_file,
        ticket,
        idempotency,
        live_max: _,
        usage: _,
        erases: _,
        also: _,
    } = commit;
    let tenant = &job.tenant;
    assert_eq!(store.job(tenant, &job.id).await.unwrap().as_ref(), Some(job));
    let newest_first: Vec<_> = events.iter().rev().cloned().collect();
    assert_eq!(store.events(&job.id, &first(99)).await.unwrap().0, newest_first);
    assert_eq!(store.all_checkpoints(&job.id).await.unwrap().last(), checkpoint.as_ref());
    let name = &model.as_ref().unwrap().id;
    assert_eq!(store.model(tenant, name).await.unwrap().as_ref(), model.as_ref());
    let file = result_file.as_ref().unwrap();
    assert_eq!(store.file(tenant, &file.id).await.unwrap().as_ref(), Some(file));
    assert!(store.outbox().await.unwrap().contains(ticket.as_ref().unwrap()));
    let key = &idempotency.as_ref().unwrap().key;
    assert_eq!(store.idempotency(tenant, key).await.unwrap().as_ref(), idempotency.as_ref());
}

/// Nothing of `commit` is there.
async fn assert_not_written(store: &dyn Store, commit: &Commit) {
    let Commit {
        job,
        expected_rev: _,
        events: _,
        checkpoint: _,
        model,
        result_file,
        ticket,
        idempotency,
        live_max: _,
        usage: _,
        erases: _,
        also: _,
    } = commit;
    let tenant = &job.tenant;
    assert_eq!(store.events(&job.id, &first(99)).await.unwrap(), (vec![], false));
    assert_eq!(store.all_checkpoints(&job.id).await.unwrap(), vec![]);
    let name = &model.as_ref().unwrap().id;
    assert_eq!(store.model(tenant, name).await.unwrap(), None);
    assert_eq!(store.models(tenant).await.unwrap(), vec![]);
    let file = result_file.as_ref().unwrap();
    assert_eq!(store.file(tenant, &file.id).await.unwrap(), None);
    assert!(!store.outbox().await.unwrap().contains(ticket.as_ref().unwrap()));
    if let Some(kept) = idempotency {
        assert_eq!(store.idempotency(tenant, &kept.key).await.unwrap(), None);
    }
}

fn first(limit: u32) -> PageRequest {
    PageRequest { after: None, limit, order: Order::Desc }
}

fn after(cursor: &str) -> PageRequest {
    PageRequest { after: Some(cursor.to_string()), ..first(99) }
}

fn ids((jobs, more): Slice<JobRecord>) -> Result<Slice<String>, StoreError> {
    Ok((jobs.iter().map(|job| job.id.to_string()).collect(), more))
}

/// All ids of a list as a client walks through it page by page.
async fn walk(
    limit: u32,
    order: Order,
    list: impl AsyncFn(PageRequest) -> Result<Slice<String>, StoreError>,
) -> Vec<String> {
    let mut page = PageRequest { after: None, limit, order };
    let mut seen: Vec<String> = Vec::new();
    loop {
        let (ids, more) = list(page.clone()).await.unwrap();
        assert!(ids.len() <= limit as usize && (!more || ids.len() == limit as usize));
        seen.extend(ids);
        if !more {
            let distinct: BTreeSet<&String> = seen.iter().collect();
            assert_eq!(distinct.len(), seen.len(), "nothing is listed twice");
            return seen;
        }
        page.after = seen.last().cloned();
    }
}
