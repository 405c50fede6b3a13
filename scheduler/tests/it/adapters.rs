//! Every adapter, held to the contract of its port, and what an adapter has beyond it.

use std::sync::Arc;

use tempfile::TempDir;
use trainyard_scheduler::adapter::fs::FsObjects;
use trainyard_scheduler::adapter::memory::{MemoryQueue, MemoryStore};
use trainyard_scheduler::adapter::redis::RedisOptions;
use trainyard_scheduler::adapter::s3::S3Options;
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::adapter::{open_objects, open_queue, open_store};
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::contract;
use trainyard_scheduler::port::objects::Objects;
use trainyard_scheduler::port::queue::Queue;
use trainyard_scheduler::port::store::{Store, StoreError};

fn sqlite(path: &std::path::Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Arc::new(SystemClock))
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_store_holds() {
    let dir = TempDir::new().unwrap();
    let opened = std::sync::atomic::AtomicU32::new(0);
    contract::store::holds(async || {
        let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Arc::new(sqlite(&dir.path().join(format!("{number}.db"))).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_store_survives() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("record.db");
    contract::store::survives(async || Arc::new(sqlite(&path).unwrap()) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_holds() {
    contract::store::holds(async || {
        Arc::new(MemoryStore::new(Arc::new(SystemClock))) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_queue_holds() {
    contract::queue::holds(async || Arc::new(MemoryQueue::new()) as Arc<dyn Queue>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fs_objects_hold() {
    let (root, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let opened = std::sync::atomic::AtomicU32::new(0);
    let open = async || {
        let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        Arc::new(FsObjects::open(&root.path().join(number)).unwrap()) as Arc<dyn Objects>
    };
    contract::objects::holds(open, scratch.path(), true).await;
}

#[test]
fn sqlite_refuses_what_it_does_not_know() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("record.db");
    drop(sqlite(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    raw.pragma_update(None, "user_version", version + 1).unwrap();
    let newer = sqlite(&path).err();
    assert!(
        matches!(&newer, Some(StoreError::Corrupt(text)) if text.contains(&format!("version {}", version + 1))),
        "{newer:?}"
    );
    let after: i64 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(after, version + 1, "a refused file is not changed");

    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, "this is no database, it is a sentence ".repeat(200)).unwrap();
    assert!(matches!(sqlite(&garbage).err(), Some(StoreError::Corrupt(_))));
    assert!(sqlite(&dir.path().join("no/such/directory/record.db")).is_err());
}

#[tokio::test]
async fn sqlite_commits_reach_the_disk() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("record.db");
    let _store = sqlite(&path).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    let mode: String = raw.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let strict = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'";
    let loose: i64 = raw.query_row(strict, [], |row| row.get(0)).unwrap();
    assert_eq!(loose, 0, "every table is strict");
}

#[tokio::test]
async fn fs_objects_forget_what_was_half_written() {
    let root = TempDir::new().unwrap();
    let objects = FsObjects::open(root.path()).unwrap();
    let mut half = objects.create("files/half").await.unwrap();
    half.write(bytes::Bytes::from_static(b"half")).await.unwrap();
    let mut whole = objects.create("files/whole").await.unwrap();
    whole.write(bytes::Bytes::from_static(b"whole")).await.unwrap();
    whole.finish().await.unwrap();
    // Beside them lie the number of the layout, and the locks of those who write here.
    assert_eq!(files_below(root.path()).len(), 5);
    let other = FsObjects::open(root.path()).unwrap();
    assert_eq!(files_below(root.path()).len(), 6, "what a living process writes stays");
    // As a killed process leaves it: its destructors never ran, and its locks are free.
    std::mem::forget(half);
    drop((objects, other));
    let objects = FsObjects::open(root.path()).unwrap();
    assert_eq!(objects.list("files").await.unwrap(), ["files/whole"]);
    assert_eq!(files_below(root.path()).len(), 4);
}

fn files_below(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test]
async fn backends_are_chosen_by_url() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let options = RedisOptions::default();
    assert!(open_store(&format!("sqlite:{}", path("a.db")), &options).await.is_ok());
    assert!(open_store("memory:", &options).await.is_ok());
    assert!(open_queue("memory:", &[]).await.is_ok());
    let s3 = S3Options::default();
    assert!(open_objects(&format!("file:{}", path("objects")), &s3).await.is_ok());
    let refusals = [
        open_store("redis://", &options).await.err(),
        open_store("sqlite:", &options).await.err(),
        open_store("/tmp/a.db", &options).await.err(),
        open_store(&format!("sqlite:{}", path("no/such/a.db")), &options).await.err(),
        open_queue("amqp://localhost:port", &[]).await.err(),
        open_queue("memory", &[]).await.err(),
        open_objects("s3://bucket", &s3).await.err(),
        open_objects("s3:bucket", &s3).await.err(),
        open_objects("file:", &s3).await.err(),
    ];
    for (number, refusal) in refusals.into_iter().enumerate() {
        let refusal = refusal.unwrap_or_else(|| panic!("number {number} was taken")).to_string();
        assert!(
            ["store '", "queue '", "objects '"].iter().any(|s| refusal.starts_with(s)),
            "{refusal}"
        );
    }
}
