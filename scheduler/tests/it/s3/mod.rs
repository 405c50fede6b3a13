//! The S3 adapter before a real server: Ceph's gateway, started by the test, or any other (`make test-s3`).

#![allow(clippy::print_stdout, reason = "a test says what it found a server to do")]

mod faults;
mod proxy;
mod refusals;
#[allow(unreachable_pub, reason = "the end-to-end tests have the same file in a library")]
#[path = "../../../../tests/src/rgw.rs"]
mod rgw;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use trainyard_scheduler::adapter::s3::{Abilities, S3Objects, S3Options};
use trainyard_scheduler::contract;
use trainyard_scheduler::port::objects::{ObjectError, Objects};

use rgw::{ACCESS_KEY_ID, BUCKET, Rgw, SECRET_ACCESS_KEY};

/// The options that reach a server with the gateway's key.
fn options(endpoint: &str) -> S3Options {
    let options = S3Options { endpoint: Some(endpoint.to_string()), ..S3Options::default() };
    options.with_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
}

async fn open(endpoint: &str, prefix: &str) -> S3Objects {
    let url = format!("s3://{BUCKET}/{prefix}");
    S3Objects::open(&url, &options(endpoint)).await.unwrap()
}

async fn put(objects: &dyn Objects, key: &str, content: &[u8]) -> Result<u64, ObjectError> {
    let mut writer = objects.create(key).await?;
    for piece in content.chunks(300_000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

/// Bytes in which no two places of a part look alike.
fn content(count: usize) -> Vec<u8> {
    let words = (0..count.div_ceil(8) as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).take(count).collect()
}

/// Holds the bucket that `url` names to the contract of the port.
async fn holds(url: &str, options: &S3Options) -> Abilities {
    let scratch = TempDir::new().unwrap();
    let opened = AtomicU32::new(0);
    let open = async || {
        let number = opened.fetch_add(1, Ordering::SeqCst);
        let objects = S3Objects::open(&format!("{url}-{number}"), options).await.unwrap();
        Arc::new(objects) as Arc<dyn Objects>
    };
    let abilities = S3Objects::open(url, options).await.unwrap().abilities().clone();
    contract::objects::holds(open, scratch.path(), abilities.put_if_absent).await;
    abilities
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_ceph_hold() {
    let Some(rgw) = Rgw::start() else { return };
    let plain = options(&rgw.endpoint);
    let abilities = holds(&format!("s3://{BUCKET}/suite"), &plain).await;
    assert!(abilities.put_if_absent, "Ceph refuses second writers: {abilities:?}");

    // The same over TLS: with the server's certificate, and not without.
    let ca_pem = Some(std::fs::read(rgw.certificate()).unwrap());
    let untrusting = options(&rgw.tls_endpoint);
    let trusting = S3Options { ca_pem, ..untrusting.clone() };
    let url = format!("s3://{BUCKET}/tls");
    let objects = S3Objects::open(&url, &trusting).await.unwrap();
    put(&objects, "a", b"content").await.unwrap();
    assert_eq!(objects.size("a").await.unwrap(), 7);
    let refused = S3Objects::open(&url, &untrusting).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");

    let encrypted = S3Options { sse_kms_key_id: Some("testkey".to_string()), ..plain.clone() };
    let objects = S3Objects::open(&format!("s3://{BUCKET}/kms"), &encrypted).await.unwrap();
    let large = content(17 << 20);
    for (key, content) in [("small", &large[..1000]), ("large", &large)] {
        assert_eq!(put(&objects, key, content).await.unwrap(), content.len() as u64);
        let head =
            raw(&rgw).head_object().bucket(BUCKET).key(format!("kms/{key}")).send().await.unwrap();
        assert_eq!(head.ssekms_key_id(), Some("testkey"), "{head:?}");
        assert!(fetched(&objects, key).await.unwrap() == *content, "{key}");
    }
}

/// `make test-s3 ENDPOINT=... BUCKET=...`, with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants a server: make test-s3"]
async fn objects_in_another_server_hold() {
    let wanted = |name: &str| {
        let value = std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"));
        value.into_string().unwrap()
    };
    let given = |name: &str| std::env::var_os(name).map(|value| value.into_string().unwrap());
    let options = S3Options {
        endpoint: Some(wanted("TRAINYARD_TEST_S3_ENDPOINT")),
        region: given("AWS_REGION"),
        path_style: given("TRAINYARD_TEST_S3_PATH_STYLE").map(|text| text == "true"),
        ..S3Options::default()
    };
    let options = options.with_key(&wanted("AWS_ACCESS_KEY_ID"), &wanted("AWS_SECRET_ACCESS_KEY"));
    let run = trainyard_openapi::id::random_base62(8).unwrap();
    let url = format!("s3://{}/trainyard-test-{run}", wanted("TRAINYARD_TEST_S3_BUCKET"));
    let abilities = holds(&url, &options).await;
    println!("holds with {abilities:?}; what was written lies below {url}-*");
}

/// The object as a file has it.
async fn fetched(objects: &dyn Objects, key: &str) -> Result<Vec<u8>, ObjectError> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("object");
    let size = objects.get_file(key, &path).await;
    assert_eq!(path.exists(), size.is_ok(), "half a file is left");
    let content = size.map(|size| (size, std::fs::read(&path).unwrap()))?;
    assert_eq!(content.0, content.1.len() as u64);
    Ok(content.1)
}

/// A client that goes past the adapter.
fn raw(rgw: &Rgw) -> aws_sdk_s3::Client {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(
            ACCESS_KEY_ID,
            SECRET_ACCESS_KEY,
            None,
            None,
            "test",
        ))
        .endpoint_url(&rgw.endpoint)
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}
