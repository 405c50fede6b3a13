//! `rediss:`: nobody else can be the server.

use std::net::TcpListener;

use tempfile::TempDir;
use trainyard_scheduler::adapter::redis::{RedisOptions, RedisStore};
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::port::store::{Store, StoreError};

use super::server::{DURABLE, Server, named};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_taken_only_with_a_certificate_that_is_trusted() {
    let place = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_string()]).unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("cert"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (cert, key, port) = (path("cert"), path("key"), port.to_string());
    let mut settings = DURABLE.to_vec();
    settings.extend(["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key]);
    settings.extend(["--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"]);
    let _server = Server::with(&settings);
    let url = format!("rediss://127.0.0.1:{port}");

    let trusting = RedisOptions { ca_pem: Some(std::fs::read(&cert).unwrap()), ..named("tls") };
    let store = RedisStore::open(&url, &trusting).await.unwrap();
    let job = sample::made(&store, sample::job(&sample::tenant())).await;
    assert_eq!(store.validating_jobs().await.unwrap(), [job.id]);

    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_string()]).unwrap();
    let other = RedisOptions { ca_pem: Some(other.cert.pem().into_bytes()), ..named("tls") };
    for options in [named("tls"), other] {
        let refused = RedisStore::open(&url, &options).await.err();
        assert!(
            matches!(&refused, Some(StoreError::Unavailable(why)) if why.contains("certificate")),
            "{refused:?}"
        );
    }
}
