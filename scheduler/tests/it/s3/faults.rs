//! What becomes of objects when connections break.

use std::time::Duration;

use futures::StreamExt;
use trainyard_scheduler::adapter::s3::{S3Objects, S3Options};
use trainyard_scheduler::port::objects::{ObjectError, Objects};

use super::proxy::{Proxy, Way};
use super::rgw::{BUCKET, Rgw};
use super::{content, fetched, open, options, put, raw};

/// A hang guard, far beyond what any of this takes.
const HANGS: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_break_no_object() {
    let Some(rgw) = Rgw::start() else { return };
    let direct = open(&rgw.endpoint, "faults").await;
    let proxy = Proxy::before(&rgw.endpoint).await;
    let impatient = S3Options { tries: 2, ..options(&proxy.endpoint) };
    let url = format!("s3://{BUCKET}/faults");
    let objects = S3Objects::open(&url, &impatient).await.unwrap();

    uploads(&rgw, &objects, &direct, &proxy).await;
    lost_answers(&objects, &proxy).await;
    downloads(&objects, &direct, &proxy).await;
    busy(&direct, &proxy).await;
    changed_meanwhile(&rgw, &direct, &proxy, &objects).await;
    left_behind(&rgw, &direct).await;
}

async fn uploads(rgw: &Rgw, objects: &S3Objects, direct: &S3Objects, proxy: &Proxy) {
    let large = content(30 << 20);
    // No part gets through: the upload fails, and nothing is left of it.
    proxy.cut(Way::Up, 3 << 20, u32::MAX);
    let failed = put(objects, "up/never", &large).await;
    assert!(matches!(failed, Err(ObjectError::Unavailable(_))), "{failed:?}");
    assert!(proxy.heal() > 1);
    assert!(matches!(direct.size("up/never").await, Err(ObjectError::NotFound(_))));
    no_upload_is_left(rgw).await;

    // Dropped half-way.
    let mut writer = objects.create("up/dropped").await.unwrap();
    writer.write(large[..20 << 20].to_vec().into()).await.unwrap();
    assert_eq!(uploads_under_way(rgw).await, 1);
    drop(writer);
    no_upload_is_left(rgw).await;
    assert_eq!(direct.list("up").await.unwrap(), Vec::<String>::new());

    // One cut: the part is sent again.
    proxy.cut(Way::Up, 5 << 20, 1);
    assert_eq!(put(objects, "up/again", &large).await.unwrap(), large.len() as u64);
    assert_eq!(proxy.heal(), 1);
    assert!(fetched(direct, "up/again").await.unwrap() == large);
    no_upload_is_left(rgw).await;
}

/// The server has written the object, and its answer is lost: the repeat finds the name taken, by itself.
async fn lost_answers(objects: &S3Objects, proxy: &Proxy) {
    for (key, request, bytes) in [
        ("lost/empty", "PUT /training/faults/lost/empty", 0),
        ("lost/small", "PUT /training/faults/lost/small", 200_000),
        // The request that ends it; the one that begins it was sent while it was written.
        ("lost/large", "POST /training/faults/lost/large", 17 << 20),
    ] {
        let content = content(bytes);
        let mut writer = objects.create(key).await.unwrap();
        writer.write(content.clone().into()).await.unwrap();
        proxy.lose(request);
        assert_eq!(writer.finish().await.unwrap(), bytes as u64, "{key}");
        assert_eq!(proxy.heal(), 1, "{key}: its answer was not lost");
        assert!(fetched(objects, key).await.unwrap() == content, "{key}");
    }
    let taken = put(objects, "lost/small", b"another").await;
    assert!(matches!(taken, Err(ObjectError::Exists(_))), "{taken:?}");
}

async fn downloads(objects: &S3Objects, direct: &S3Objects, proxy: &Proxy) {
    let large = content(20_000_003);
    put(direct, "down/large", &large).await.unwrap();
    proxy.cut(Way::Down, 3_000_000, 5);
    let fetched_again = tokio::time::timeout(HANGS, fetched(objects, "down/large")).await.unwrap();
    assert_eq!(proxy.heal(), 5);
    assert!(fetched_again.unwrap() == large, "what was read on is not what was cut");

    // A server that cuts before the first byte of the content, each time.
    proxy.cut(Way::Down, 2000, u32::MAX);
    let failed = tokio::time::timeout(HANGS, fetched(objects, "down/large")).await.unwrap();
    assert!(matches!(failed, Err(ObjectError::Unavailable(_))), "{failed:?}");
    assert!(proxy.heal() > 1);
}

async fn busy(direct: &S3Objects, proxy: &Proxy) {
    put(direct, "busy/a", b"content").await.unwrap();
    let patient = open(&proxy.endpoint, "faults").await;
    proxy.busy(2);
    assert_eq!(patient.size("busy/a").await.unwrap(), 7);
    assert_eq!(proxy.heal(), 2, "it was not asked again");
}

async fn changed_meanwhile(rgw: &Rgw, direct: &S3Objects, proxy: &Proxy, objects: &S3Objects) {
    // More than the buffers on the way hold.
    let large = content(48 << 20);
    put(direct, "changed", &large).await.unwrap();
    let (_, mut pieces) = objects.read("changed", None).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    let other = vec![1; 48 << 20];
    let request = raw(rgw).put_object().bucket(BUCKET).key("faults/changed").body(other.into());
    request.send().await.unwrap();
    proxy.cut(Way::Down, 100_000, 1);
    let mut ended = None;
    while let Some(piece) = pieces.next().await {
        if let Err(error) = piece {
            ended = Some(error);
            break;
        }
    }
    assert_eq!(proxy.heal(), 1);
    let told = ended.expect("another content was read on").to_string();
    assert!(told.contains("changed while it was read"), "{told}");
}

/// What a killed process leaves is aborted once it is old.
async fn left_behind(rgw: &Rgw, direct: &S3Objects) {
    let begun = raw(rgw).create_multipart_upload().bucket(BUCKET).key("faults/left").send().await;
    begun.unwrap();
    let elsewhere =
        raw(rgw).create_multipart_upload().bucket(BUCKET).key("other/left").send().await;
    elsewhere.unwrap();
    direct.abort_uploads_begun_before(1_000_000_000).await;
    assert_eq!(uploads_under_way(rgw).await, 2, "they are not older than that");
    direct.abort_uploads_begun_before(i64::MAX).await;
    assert_eq!(uploads_under_way(rgw).await, 1, "what lies beside the prefix is not ours");
}

async fn uploads_under_way(rgw: &Rgw) -> usize {
    let listed = raw(rgw).list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    listed.uploads().len()
}

/// Uploads are aborted beside the work, so it may take a moment.
async fn no_upload_is_left(rgw: &Rgw) {
    let gone = async {
        while uploads_under_way(rgw).await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(HANGS, gone).await.expect("an upload is left");
}
