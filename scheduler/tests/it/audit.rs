//! The audit log in a database file that somebody got at: every byte, every missing, moved or foreign entry is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde_json::json;
use trainyard_openapi::id::TenantId;
use trainyard_scheduler::adapter::sqlite::{SqliteFile, SqliteStore};
use trainyard_scheduler::audit::{AuditEntry, BrokenChain, Follower, Head, chain};
use trainyard_scheduler::clock::ManualClock;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::port::store::{Store, StoreError};

const ENTRIES: u64 = 6;

struct Log {
    dir: tempfile::TempDir,
    tenants: [TenantId; 2],
}

impl Log {
    /// A database, closed and in one file, with two tenants' logs.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.db");
        let store = SqliteStore::open(&path, Arc::new(ManualClock::at(5))).unwrap();
        let tenants = [TenantId::generate().unwrap(), TenantId::generate().unwrap()];
        for number in 0..ENTRIES {
            for tenant in &tenants {
                let entry = AuditEntry {
                    tenant: tenant.clone(),
                    at_ms: 1_700_000_000_000 + number as i64,
                    actor: "key:abc".into(),
                    action: "file.deleted".into(),
                    target: format!("file-{number}"),
                    detail: json!({"filename": "données \"x\".jsonl", "bytes": number, "share": 1.5e-9}),
                };
                store.apply(&Change::audited(entry)).await.unwrap();
            }
        }
        let log = Self { dir, tenants };
        SqliteFile::open(&path).unwrap().snapshot(&log.path()).unwrap();
        log
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("copy.db")
    }

    /// Follows both logs in pieces of four.
    fn verify(&self, noted: Option<&Head>) -> Result<Vec<Head>, String> {
        verify(&self.path(), &self.tenants, noted)
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) {
        let connection = Connection::open(self.path()).unwrap();
        assert!(connection.execute(sql, params).unwrap() > 0, "{sql}");
    }
}

fn verify(path: &Path, tenants: &[TenantId], noted: Option<&Head>) -> Result<Vec<Head>, String> {
    let file = SqliteFile::open(path).map_err(|error| error.to_string())?;
    let found = file.audited_tenants().map_err(|error| error.to_string())?;
    if let Some(unknown) = found.iter().find(|id| !tenants.iter().any(|t| t.as_str() == *id)) {
        return Err(format!("entries of nobody: {unknown}"));
    }
    let mut heads = Vec::new();
    for (tenant, noted) in tenants.iter().zip([noted, None]) {
        let mut follower = Follower::new(tenant.clone(), noted.cloned());
        loop {
            let after = follower.head().seq;
            let records = match file.audit(tenant.as_str(), after, 4) {
                Ok(records) => records,
                Err(error @ (StoreError::Corrupt(_) | StoreError::Unavailable(_))) => {
                    return Err(error.to_string());
                }
                Err(other) => panic!("{other}"),
            };
            follower.follow(&records).map_err(|broken| broken.to_string())?;
            if records.len() < 4 {
                break;
            }
        }
        heads.push(follower.end().map_err(|broken| broken.to_string())?);
    }
    Ok(heads)
}

#[tokio::test]
async fn every_flipped_byte_of_an_entry_is_found() {
    let log = Log::new().await;
    let heads = log.verify(None).unwrap();
    assert!(heads.iter().all(|head| head.seq == ENTRIES), "{heads:?}");
    let clean = std::fs::read(log.path()).unwrap();
    let records: Vec<Vec<u8>> = {
        let connection = Connection::open(log.path()).unwrap();
        let mut statement = connection
            .prepare("SELECT tenant || ?1 || hash || record FROM audit WHERE seq IN (1, 3, 6)")
            .unwrap();
        let rows = statement.query_map([""], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|row| row.unwrap().into_bytes()).collect()
    };
    let mut flipped = 0;
    for record in records {
        // A row is its columns in order; the number between tenant and hash is a byte of its own, or none.
        let text = &record[28..];
        // A page that was split keeps the bytes of rows that moved away: each copy is flipped, so the living one is.
        let places = clean.windows(text.len()).enumerate().filter(|(_, window)| *window == text);
        let places: Vec<usize> = places.map(|(at, _)| at).collect();
        assert!(!places.is_empty());
        for offset in (0..text.len()).step_by(2) {
            let mut damaged = clean.clone();
            for at in &places {
                damaged[at + offset] ^= 1 << (offset % 7);
            }
            std::fs::write(log.path(), &damaged).unwrap();
            assert!(
                log.verify(Some(&heads[0])).is_err(),
                "byte {offset} of {}",
                String::from_utf8_lossy(text)
            );
            flipped += 1;
        }
    }
    assert!(flipped > 500, "{flipped}");
    std::fs::write(log.path(), &clean).unwrap();
    assert_eq!(log.verify(Some(&heads[0])).unwrap(), heads);
}

#[tokio::test]
async fn entries_that_are_dropped_moved_or_made_anew_are_found() {
    let log = Log::new().await;
    let heads = log.verify(None).unwrap();
    let clean = std::fs::read(log.path()).unwrap();
    let (a, b) = (log.tenants[0].as_str(), log.tenants[1].as_str());
    let again = || std::fs::write(log.path(), &clean).unwrap();
    for seq in 1..=ENTRIES {
        log.execute("DELETE FROM audit WHERE tenant = ?1 AND seq = ?2", params![a, seq as i64]);
        match (seq, log.verify(None)) {
            (ENTRIES, shorter) => assert_eq!(shorter.unwrap()[0].seq, ENTRIES - 1),
            (_, broken) => assert!(broken.unwrap_err().contains("is missing"), "{seq}"),
        }
        assert!(log.verify(Some(&heads[0])).is_err(), "{seq} was dropped");
        again();
    }
    for other in 2..=ENTRIES {
        let swap = "UPDATE audit SET record = (SELECT record FROM audit x WHERE x.tenant = ?1 AND x.seq = ?2 + ?3 - audit.seq),
                        hash = (SELECT hash FROM audit x WHERE x.tenant = ?1 AND x.seq = ?2 + ?3 - audit.seq)
                    WHERE tenant = ?1 AND seq IN (?2, ?3)";
        log.execute(swap, params![a, 1, other as i64]);
        assert!(log.verify(None).is_err(), "1 and {other} were swapped");
        again();
    }
    // The log is cut off, at its end or whole.
    for left in 0..ENTRIES {
        log.execute("DELETE FROM audit WHERE tenant = ?1 AND seq > ?2", params![a, left as i64]);
        assert!(log.verify(None).is_ok(), "a shorter log holds together");
        let cut = BrokenChain::Cut { noted: ENTRIES, found: left };
        assert_eq!(log.verify(Some(&heads[0])).unwrap_err(), cut.to_string());
        again();
    }
    // Moved under another tenant, to a place that is none, or under nobody.
    for (sql, who) in [
        ("UPDATE audit SET tenant = ?1, seq = 7 WHERE tenant = ?2 AND seq = 6", b),
        ("UPDATE audit SET seq = 0 WHERE tenant <> ?1 AND tenant = ?2 AND seq = 6", b),
        ("UPDATE audit SET tenant = ?1 WHERE tenant = ?2 AND seq = 6", "org-x"),
    ] {
        log.execute(sql, params![who, a]);
        assert!(log.verify(Some(&heads[0])).is_err(), "{sql}");
        again();
    }
}

#[tokio::test]
async fn a_log_that_was_made_anew_is_told_by_its_head() {
    let log = Log::new().await;
    let heads = log.verify(None).unwrap();
    let file = SqliteFile::open(&log.path()).unwrap();
    let tenant = log.tenants[0].as_str();
    let mut records = file.audit(tenant, 0, 100).unwrap();
    drop(file);
    records[1].entry.target = "file-other".into();
    let mut last: Option<(u64, String)> = None;
    for record in &records {
        let new = chain(last.as_ref().map(|(seq, hash)| (*seq, hash.as_str())), &record.entry);
        let text = serde_json::to_string(&new).unwrap();
        let sql = "UPDATE audit SET hash = ?1, record = ?2 WHERE tenant = ?3 AND seq = ?4";
        log.execute(sql, params![new.hash, text, tenant, new.seq as i64]);
        last = Some((new.seq, new.hash));
    }
    assert!(log.verify(None).is_ok(), "it holds together");
    let told = log.verify(Some(&heads[0])).unwrap_err();
    assert_eq!(told, BrokenChain::Rewritten(ENTRIES).to_string());
}

#[tokio::test]
async fn a_file_of_another_version_is_refused() {
    let log = Log::new().await;
    log.execute("DELETE FROM audit WHERE seq = 1", []);
    Connection::open(log.path()).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let refused = SqliteFile::open(&log.path()).err().unwrap().to_string();
    assert!(refused.contains("version 999"), "{refused}");
    assert!(SqliteFile::open(&log.dir.path().join("none.db")).is_err());
}
