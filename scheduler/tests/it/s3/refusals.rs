//! Settings and servers that cannot work are told at the start, with what to do.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use trainyard_scheduler::adapter::s3::{S3Objects, S3Options};
use trainyard_scheduler::clock::{Clock, ManualClock, SystemClock};
use trainyard_scheduler::port::objects::{ObjectError, Objects};

use super::rgw::{ACCESS_KEY_ID, BUCKET, Rgw, SECRET_ACCESS_KEY};
use super::{content, options, put, raw};

async fn refused(bucket: &str, options: &S3Options, words: &[&str]) {
    let url = format!("s3://{bucket}/refusals");
    let Err(told) = S3Objects::open(&url, options).await else {
        panic!("it opens, and should say {words:?}")
    };
    for word in words {
        assert!(told.contains(word), "no '{word}': {told}");
    }
    assert!(!told.contains(SECRET_ACCESS_KEY), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_told_at_the_start() {
    let Some(rgw) = Rgw::start() else { return };
    let good = options(&rgw.endpoint);
    refused(
        BUCKET,
        &good.clone().with_key(ACCESS_KEY_ID, "wrong"),
        &["SignatureDoesNotMatch", "secret access key"],
    )
    .await;
    refused(
        BUCKET,
        &good.clone().with_key("nobody", "x"),
        &["InvalidAccessKeyId", "access key id"],
    )
    .await;
    refused("no-such-bucket", &good, &["NoSuchBucket", "make it"]).await;
    let nobody = S3Options { credentials: None, ..good.clone() };
    refused(BUCKET, &nobody, &["no credentials", "AWS_ACCESS_KEY_ID"]).await;
    let nowhere = S3Options { endpoint: None, ..good.clone() };
    refused(BUCKET, &nowhere, &["--s3-region"]).await;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["no certificate", "-----BEGIN CERTIFICATE-----\n%\n", broken] {
        let endpoint = Some(rgw.tls_endpoint.clone());
        let ca = S3Options { endpoint, ca_pem: Some(pem.into()), ..good.clone() };
        refused(BUCKET, &ca, &["CA file"]).await;
    }
    let useless = S3Options { ca_pem: Some(broken.into()), ..good.clone() };
    refused(BUCKET, &useless, &["CA file", "https"]).await;
    let key = S3Options { sse_kms_key_id: Some("no-such-key".to_string()), ..good.clone() };
    refused(BUCKET, &key, &["KMS"]).await;

    // A clock that is wrong is found out by the first answer and allowed for; where there is no second try it is named.
    for minutes in [-20_i64, 20] {
        let turned = SystemClock.now_ms() + minutes * 60_000;
        let wrong = S3Options { clock: Arc::new(ManualClock::at(turned)), ..good.clone() };
        let once = S3Options { tries: 1, ..wrong.clone() };
        refused(BUCKET, &once, &["RequestTimeTooSkewed", "set the clocks"]).await;
        let objects = S3Objects::open(&format!("s3://{BUCKET}/clock"), &wrong).await.unwrap();
        let key = format!("a/{}", minutes + 20);
        assert_eq!(put(&objects, &key, b"content").await.unwrap(), 7);
    }

    // One who may read and no more.
    let made = rgw.admin(&[
        "user",
        "create",
        "--uid=reader",
        "--display-name=reader",
        "--access-key=reader",
        "--secret-key=readersecret",
        "--op-mask=read",
    ]);
    assert!(made.status.success(), "{made:?}");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["arn:aws:iam:::user/reader"]}},"Action":"s3:*","Resource":["arn:aws:s3:::{BUCKET}","arn:aws:s3:::{BUCKET}/*"]}}]}}"#
    );
    raw(&rgw).put_bucket_policy().bucket(BUCKET).policy(policy).send().await.unwrap();
    let reader = good.clone().with_key("reader", "readersecret");
    refused(BUCKET, &reader, &["no permission", "write and delete"]).await;

    // Objects of a later layout.
    let body = b"7".to_vec().into();
    let layout = raw(&rgw).put_object().bucket(BUCKET).key("refusals/.version").body(body);
    layout.send().await.unwrap();
    refused(BUCKET, &good, &["layout version 7"]).await;

    full(&rgw).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_s3_server_is_told_at_the_start() {
    let none = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", none.local_addr().unwrap());
    drop(none);
    refused(BUCKET, &options(&address), &["does not answer", &address, "refused"]).await;

    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    refused(BUCKET, &options(&address), &["does not answer", "within 10 s", "--s3-endpoint"]).await;
    drop(silent);

    for (answer, words) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", ["no bucket", "404"]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n<html>hi</html>\r\n",
            ["--s3-endpoint", "S3"],
        ),
        ("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", ["region", "301"]),
    ] {
        let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", web.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            while let Ok((mut client, _)) = web.accept().await {
                tokio::spawn(async move {
                    let _ = tokio::io::AsyncReadExt::read(&mut client, &mut [0; 8192]).await;
                    let _ = client.write_all(answer.as_bytes()).await;
                });
            }
        });
        refused(BUCKET, &options(&address), &words).await;
        serving.abort();
    }
}

/// A bucket that takes no more.
async fn full(rgw: &Rgw) {
    let url = "s3://small-bucket/full";
    raw(rgw).create_bucket().bucket("small-bucket").send().await.unwrap();
    let set = rgw.admin(&[
        "quota",
        "set",
        "--quota-scope=bucket",
        "--bucket=small-bucket",
        "--max-size=1M",
    ]);
    assert!(set.status.success(), "{set:?}");
    let on = rgw.admin(&["quota", "enable", "--quota-scope=bucket", "--bucket=small-bucket"]);
    assert!(on.status.success(), "{on:?}");
    let objects = S3Objects::open(url, &options(&rgw.endpoint)).await.unwrap();
    let told = put(&objects, "files/a", &content(3 << 20)).await;
    assert!(matches!(told, Err(ObjectError::NoSpace)), "{told:?}");
    assert!(matches!(objects.size("files/a").await, Err(ObjectError::NotFound(_))));
}
