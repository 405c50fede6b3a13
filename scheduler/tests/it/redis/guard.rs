//! Servers that are not trusted with the record, and what is said of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trainyard_scheduler::adapter::open_store;
use trainyard_scheduler::adapter::redis::{RedisOptions, RedisStore};
use trainyard_scheduler::contract::{self, sample};
use trainyard_scheduler::port::store::{Durability, Store, StoreError};

use super::server::{DURABLE, Server, named};

async fn refusal(url: &str, options: &RedisOptions) -> String {
    match open_store(url, options).await {
        Ok(_) => panic!("{url} was taken"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_server_that_forgets_is_refused_with_the_setting_to_change() {
    let settings: [(&[&str], &str); 3] = [
        (&[], "appendonly is 'no' and must be 'yes'"),
        (&["--appendonly", "yes"], "appendfsync is 'everysec' and must be 'always'"),
        (
            &[
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--maxmemory-policy",
                "allkeys-lru",
            ],
            "maxmemory-policy is 'allkeys-lru' and must be 'noeviction'",
        ),
    ];
    for (more, reason) in settings {
        let server = Server::with(more);
        let said = refusal(&server.url(), &RedisOptions::default()).await;
        assert!(said.contains(reason) && said.contains("store_allow_volatile"), "{said}");
        assert_eq!(server.say(&["DBSIZE"]).await, "int(0)", "a refused server is not written to");
        let taken = RedisOptions { allow_volatile: true, ..RedisOptions::default() };
        let store = open_store(&server.url(), &taken).await.unwrap();
        let durability = store.durability();
        assert!(
            matches!(&durability, Durability::Volatile(why) if why.contains(reason)),
            "{durability:?}"
        );
    }
    let server = Server::durable();
    assert_eq!(server.store("good").await.durability(), Durability::Durable);
}

#[tokio::test]
async fn a_record_of_another_version_is_refused() {
    let server = Server::durable();
    drop(server.store("v").await);
    for version in ["2", "0", "x"] {
        server.say(&["HSET", "{v}:meta", "schema_version", version]).await;
        let said = refusal(&server.url(), &named("v")).await;
        assert!(
            said.contains(&format!("schema_version {version}, this program knows 1")),
            "{said}"
        );
        assert_eq!(server.say(&["HGET", "{v}:meta", "schema_version"]).await, version);
    }
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_shown() {
    let mut settings = DURABLE.to_vec();
    settings.extend(["--requirepass", "right secret"]);
    let server = Server::with(&settings);
    let with = |password: Option<&str>| RedisOptions {
        password: password.map(str::to_string),
        ..RedisOptions::default()
    };
    let none = refusal(&server.url(), &with(None)).await;
    assert!(none.contains("NOAUTH"), "{none}");
    let wrong = refusal(&server.url(), &with(Some("wrong secret"))).await;
    assert!(!wrong.contains("wrong secret"), "{wrong}");
    assert!(wrong.to_lowercase().contains("password"), "{wrong}");
    let url = server.url().replace("redis://", "redis://:wrong%20secret@");
    let in_url = refusal(&url, &with(None)).await;
    assert!(!in_url.contains("wrong"), "{in_url}");
    assert!(in_url.contains("redis://:***@127.0.0.1"), "{in_url}");

    RedisStore::open(&server.url(), &with(Some("right secret"))).await.unwrap();
    let url = server.url().replace("redis://", "redis://:right%20secret@");
    RedisStore::open(&url, &with(None)).await.unwrap();
}

/// No right to read or change anything else of the server. One that makes snapshots also asks for `+bgsave`.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_few_rights() {
    let server = Server::durable();
    let rights = "on >secret resetkeys ~{n* resetchannels &{n* -@all +@read +@write +@scripting +@connection \
                  +publish +subscribe +time +info +config|get +bgrewriteaof +wait";
    let mut words = vec!["ACL", "SETUSER", "trainyard"];
    words.extend(rights.split_whitespace());
    server.say(&words).await;
    let url = server.url().replace("redis://", "redis://trainyard@");
    let opened = AtomicU32::new(0);
    let open = async |namespace: &str| {
        let options = RedisOptions { password: Some("secret".into()), ..named(namespace) };
        Arc::new(RedisStore::open(&url, &options).await.unwrap()) as Arc<dyn Store>
    };
    contract::store::holds(async || {
        open(&format!("n{}", opened.fetch_add(1, Ordering::SeqCst))).await
    })
    .await;
    contract::news::holds(async || open("news").await).await;
    let elsewhere = RedisOptions { password: Some("secret".into()), ..named("other") };
    let said = refusal(&url, &elsewhere).await;
    assert!(said.to_lowercase().contains("no permissions"), "{said}");
}

/// Takes the twelve seconds of patience.
#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let mut server = Server::durable();
    server.kill();
    let said = refusal(&server.url(), &RedisOptions::default()).await;
    assert!(said.contains(&server.url()) && said.contains("refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_as_another_is_not_trusted_any_more() {
    let mut server = Server::durable();
    let store = server.store("back").await;
    let job = sample::made(&store, sample::job(&sample::tenant())).await;

    server.kill();
    server.start_again();
    assert_eq!(store.job_of_any_tenant(&job.id).await.unwrap(), Some(job.clone()));

    // Without its log a server may lose what it says it has.
    server.kill();
    server.start_again_with(&[]);
    let answer = store.commit(sample::next(&job)).await;
    assert!(
        matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("appendonly")),
        "{answer:?}"
    );

    server.kill();
    server.wipe();
    server.start_again_with(DURABLE);
    let answer = store.job_of_any_tenant(&job.id).await;
    assert!(
        matches!(&answer, Err(StoreError::Corrupt(why)) if why.contains("without the record")),
        "{answer:?}"
    );
    assert_eq!(server.say(&["DBSIZE"]).await, "int(0)", "no new record in its place");
    // Who opens it now makes a new record; the old store does not take it for its own.
    let other = server.store("back").await;
    let answer = store.job_of_any_tenant(&job.id).await;
    assert!(
        matches!(&answer, Err(StoreError::Corrupt(why)) if why.contains("another record")),
        "{answer:?}"
    );
    assert_eq!(other.job_of_any_tenant(&job.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_replica_is_refused_and_a_full_memory_named() {
    let primary = Server::durable();
    let mut settings = DURABLE.to_vec();
    let port = primary.port().to_string();
    settings.extend(["--replicaof", "127.0.0.1", &port]);
    let replica = Server::with(&settings);
    let said = refusal(&replica.url(), &RedisOptions::default()).await;
    assert!(said.contains("is a slave: name its primary"), "{said}");

    let store = primary.store("full").await;
    primary.say(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let job = sample::job(&sample::tenant());
    let answer = store.commit(sample::new(job.clone())).await;
    assert!(matches!(answer, Err(StoreError::NoSpace)), "{answer:?}");
    assert_eq!(store.job_of_any_tenant(&job.id).await.unwrap(), None, "reading goes on");
    assert_eq!(store.validating_jobs().await.unwrap(), vec![]);
    primary.say(&["CONFIG", "SET", "maxmemory", "0"]).await;
    store.commit(sample::new(job)).await.unwrap();
}

/// Writes wait for a replica; one that is not there is told of, and the write that hangs on it is not done twice.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_must_have_a_write_are_waited_for() {
    let mut settings = DURABLE.to_vec();
    settings.extend(["--repl-diskless-sync-delay", "0"]);
    let primary = Server::with(&settings);
    let port = primary.port().to_string();
    settings.extend(["--replicaof", "127.0.0.1", &port]);
    let options = RedisOptions { replicas: 1, ..named("replicas") };
    let replica = Server::with(&settings);
    while !primary.say(&["INFO", "replication"]).await.contains("state=online") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let store = RedisStore::open(&primary.url(), &options).await.unwrap();
    let job = sample::made(&store, sample::job(&sample::tenant())).await;
    let key = format!("{{replicas}}:row:job:{}", job.id);
    assert_eq!(replica.say(&["HGET", &key, "rev"]).await, "1");

    drop(replica);
    let next = sample::next(&job);
    let answer = store.commit(next.clone()).await;
    assert!(
        matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("0 of 1 replicas")),
        "{answer:?}"
    );
    // It may have happened, as the error says: here it has, once.
    assert_eq!(store.job_of_any_tenant(&job.id).await.unwrap(), Some(next.job));
}

/// After a failover the name of the primary may still lead to the old one. What was asked meanwhile is done once it leads right.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_steps_down_for_a_moment_is_waited_for() {
    let mut settings = DURABLE.to_vec();
    settings.extend(["--repl-diskless-sync-delay", "0"]);
    let primary = Server::with(&settings);
    let port = primary.port().to_string();
    settings.extend(["--replicaof", "127.0.0.1", &port]);
    let other = Server::with(&settings);
    let online = async |server: &Server, what: &str| {
        while !server.say(&["INFO", "replication"]).await.contains(what) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    online(&primary, "state=online").await;
    let store = Arc::new(primary.store("failover").await);
    let job = sample::made(store.as_ref(), sample::job(&sample::tenant())).await;

    primary.say(&["FAILOVER"]).await;
    online(&primary, "role:slave").await;
    online(&other, "state=online").await;
    let next = sample::next(&job);
    let written = tokio::spawn({
        let (store, next) = (store.clone(), next.clone());
        async move {
            // Where the way back takes longer than the store's patience, its caller asks anew.
            loop {
                match store.commit(next.clone()).await {
                    Err(StoreError::Unavailable(_)) => {}
                    definite => return definite,
                }
            }
        }
    });
    other.say(&["FAILOVER"]).await;
    // A conflict is its own earlier attempt, whose answer was not waited for.
    assert!(matches!(written.await.unwrap(), Ok(()) | Err(StoreError::Conflict)));
    assert_eq!(store.job_of_any_tenant(&job.id).await.unwrap(), Some(next.job));
}
