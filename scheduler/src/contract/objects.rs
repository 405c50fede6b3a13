//! What every [`Objects`] does.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::TryStreamExt;

use crate::port::objects::{ObjectError, Objects};

/// Texts that are no keys.
const NO_KEYS: [&str; 20] = [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/.",
    ".hidden/a",
    "a b",
    "a\\b",
    "a\0b",
    "ä",
    "a:b",
    "a?versionId=1",
    "a?uploads",
    "a#b",
    "a%2fb",
];
/// Sizes around those at which stores cut objects into parts.
const LARGE: [usize; 4] = [8 << 20, (8 << 20) + 1, 16 << 20, 20_000_003];

/// Holds the object store to its contract. `open` gives an empty store each time; `scratch` is an empty local directory. `one_winner`
/// says that of several simultaneous writers of a key one alone succeeds, which a store may say it cannot do.
///
/// # Panics
/// Where the contract does not hold.
pub async fn holds(open: impl AsyncFn() -> Arc<dyn Objects>, scratch: &Path, one_winner: bool) {
    what_is_written_is_read(open().await.as_ref()).await;
    ranges(open().await.as_ref()).await;
    nothing_is_there_before_it_is_finished(open().await.as_ref()).await;
    a_key_is_written_once(open().await.as_ref()).await;
    if one_winner {
        one_of_many_writers_wins(open().await).await;
    }
    large_objects(open().await.as_ref(), scratch).await;
    local_files(open().await.as_ref(), scratch).await;
    bad_keys_are_refused(open().await.as_ref(), scratch).await;
    lists(open().await.as_ref()).await;
    deletion_converges(open().await.as_ref()).await;
    deletion_beside_writing(open().await).await;
}

async fn what_is_written_is_read(objects: &dyn Objects) {
    let noise = noise(3_000_000);
    let cases: [(&str, &[u8], usize); 5] = [
        ("empty", b"", 1),
        ("one", b"x", 1),
        ("jobs/a-b_C.9/e1-n/step-000001/adapter.safetensors", &noise, 777_777),
        ("small-pieces", &noise[..10_000], 7),
        ("whole", &noise, noise.len()),
    ];
    for (key, content, piece) in cases {
        let mut writer = objects.create(key).await.unwrap();
        for piece in content.chunks(piece) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap(), content.len() as u64, "{key}");
        assert_eq!(objects.size(key).await.unwrap(), content.len() as u64);
        assert_eq!(read(objects, key, None).await, content, "{key}");
    }
    for missing in ["two", "jobs", "jobs/a-b_C.9", "whole/more"] {
        assert!(matches!(objects.size(missing).await, Err(ObjectError::NotFound(_))), "{missing}");
        let answer = objects.read(missing, None).await.err();
        assert!(matches!(answer, Some(ObjectError::NotFound(_))), "{missing}");
    }
}

async fn ranges(objects: &dyn Objects) {
    let content = noise(600_000);
    put(objects, "ranged", &content).await;
    for (start, end) in
        [(0, 1), (0, 600_000), (1, 599_999), (262_143, 262_145), (599_999, 600_000), (5, 5)]
    {
        let part = read(objects, "ranged", Some(start..end)).await;
        assert_eq!(part, &content[start as usize..end as usize], "{start}..{end}");
    }
    assert_eq!(read(objects, "ranged", Some(599_998..700_000)).await, &content[599_998..]);
    assert_eq!(read(objects, "ranged", Some(700_000..800_000)).await, b"");
}

async fn nothing_is_there_before_it_is_finished(objects: &dyn Objects) {
    let mut writer = objects.create("dir/half").await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    assert!(matches!(objects.size("dir/half").await, Err(ObjectError::NotFound(_))));
    assert_eq!(objects.list("dir").await.unwrap(), Vec::<String>::new());
    drop(writer);
    assert!(matches!(objects.size("dir/half").await, Err(ObjectError::NotFound(_))));
    assert_eq!(objects.list("dir").await.unwrap(), Vec::<String>::new());
    put(objects, "dir/half", b"whole").await;
    assert_eq!(read(objects, "dir/half", None).await, b"whole");
}

async fn a_key_is_written_once(objects: &dyn Objects) {
    put(objects, "taken/key", b"first").await;
    let mut second = objects.create("taken/key").await.unwrap();
    second.write(Bytes::from_static(b"second")).await.unwrap();
    let refused = second.finish().await;
    assert!(matches!(refused, Err(ObjectError::Exists(_))), "{refused:?}");
    assert_eq!(read(objects, "taken/key", None).await, b"first");
}

async fn one_of_many_writers_wins(objects: Arc<dyn Objects>) {
    let writers = (0..16_u8).map(|number| {
        let objects = objects.clone();
        tokio::spawn(async move {
            let mut writer = objects.create("contested/key").await?;
            for _ in 0..4 {
                writer.write(Bytes::from(vec![number; 50_000])).await?;
            }
            writer.finish().await.map(|_| number)
        })
    });
    let mut winner = None;
    for ended in join_all(writers).await {
        match ended.unwrap() {
            Ok(number) => assert_eq!(winner.replace(number), None, "two have written one key"),
            Err(ObjectError::Exists(_)) => {}
            Err(other) => panic!("neither written nor taken: {other}"),
        }
    }
    let winner = winner.expect("one has written it");
    let content = vec![winner; 200_000];
    assert_eq!(read(objects.as_ref(), "contested/key", None).await, content);
    assert_eq!(objects.list("contested").await.unwrap(), ["contested/key"]);
}

async fn large_objects(objects: &dyn Objects, scratch: &Path) {
    let (source, target) = (scratch.join("large"), scratch.join("large-again"));
    for size in LARGE {
        let content = noise(size);
        let (streamed, whole) = (format!("large/streamed-{size}"), format!("large/file-{size}"));
        let mut writer = objects.create(&streamed).await.unwrap();
        for piece in content.chunks(999_983) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap(), size as u64);
        std::fs::write(&source, &content).unwrap();
        assert_eq!(objects.put_file(&whole, &source).await.unwrap(), size as u64);
        for key in [&streamed, &whole] {
            assert_eq!(objects.get_file(key, &target).await.unwrap(), size as u64);
            assert!(std::fs::read(&target).unwrap() == content, "{key} has changed on its way");
            std::fs::remove_file(&target).unwrap();
        }
        let middle = (8 << 20) - 3;
        let part = read(objects, &streamed, Some(middle..middle + 7)).await;
        assert_eq!(part, &content[middle as usize..][..part.len()]);
        let again = objects.put_file(&streamed, &source).await;
        assert!(matches!(again, Err(ObjectError::Exists(_))), "{again:?}");
    }
    let mut dropped = objects.create("large/dropped").await.unwrap();
    dropped.write(Bytes::from(noise(9 << 20))).await.unwrap();
    drop(dropped);
    assert!(matches!(objects.size("large/dropped").await, Err(ObjectError::NotFound(_))));
    assert_eq!(objects.list("large").await.unwrap().len(), 2 * LARGE.len());
}

async fn local_files(objects: &dyn Objects, scratch: &Path) {
    let content = noise(700_000);
    let (source, target) = (scratch.join("source"), scratch.join("target"));
    std::fs::write(&source, &content).unwrap();
    assert_eq!(objects.put_file("local/file", &source).await.unwrap(), 700_000);
    let again = objects.put_file("local/file", &source).await;
    assert!(matches!(again, Err(ObjectError::Exists(_))), "{again:?}");
    assert_eq!(objects.get_file("local/file", &target).await.unwrap(), 700_000);
    assert_eq!(std::fs::read(&target).unwrap(), content);

    std::fs::write(&target, b"mine").unwrap();
    assert!(objects.get_file("local/file", &target).await.is_err(), "the target is there");
    assert_eq!(std::fs::read(&target).unwrap(), b"mine", "it is not touched");
    let nowhere = scratch.join("nowhere");
    let missing = objects.get_file("local/none", &nowhere).await;
    assert!(matches!(missing, Err(ObjectError::NotFound(_))), "{missing:?}");
    assert!(!nowhere.exists());
    let no_source = objects.put_file("local/other", &nowhere).await;
    assert!(matches!(no_source, Err(ObjectError::Other(_))), "{no_source:?}");
    assert_eq!(objects.list("local").await.unwrap(), ["local/file"]);
}

async fn bad_keys_are_refused(objects: &dyn Objects, scratch: &Path) {
    let long = "a/".repeat(2000) + "a";
    for key in NO_KEYS.into_iter().chain([long.as_str()]) {
        let refused = |error: Option<ObjectError>| {
            assert!(matches!(error, Some(ObjectError::InvalidKey(_))), "'{key}': {error:?}");
        };
        refused(objects.create(key).await.err());
        refused(objects.put_file(key, scratch).await.err());
        refused(objects.get_file(key, &scratch.join("never")).await.err());
        refused(objects.read(key, None).await.err());
        refused(objects.size(key).await.err());
        refused(objects.delete(key).await.err());
    }
}

async fn lists(objects: &dyn Objects) {
    let keys = ["a/b/2", "a/b/1", "a/b/c/3", "a/bc/4", "a/b.5", "z/6"];
    for key in keys {
        put(objects, key, key.as_bytes()).await;
    }
    for (prefix, expected) in [
        ("a/b", &["a/b/1", "a/b/2", "a/b/c/3"][..]),
        ("a", &["a/b.5", "a/b/1", "a/b/2", "a/b/c/3", "a/bc/4"]),
        ("a/b/c", &["a/b/c/3"]),
        ("z", &["z/6"]),
        ("a/b/1", &[]),
        ("a/b/1/more", &[]),
        ("nothing", &[]),
    ] {
        assert_eq!(objects.list(prefix).await.unwrap(), expected, "{prefix}");
    }
}

async fn deletion_converges(objects: &dyn Objects) {
    put(objects, "d/one", b"1").await;
    put(objects, "d/two", b"2").await;
    for _ in 0..2 {
        objects.delete("d/one").await.unwrap();
        assert!(matches!(objects.size("d/one").await, Err(ObjectError::NotFound(_))));
        assert_eq!(read(objects, "d/two", None).await, b"2");
    }
    objects.delete("never/was").await.unwrap();
    objects.delete("d/two/below").await.unwrap();
    put(objects, "d/one", b"again").await;
    assert_eq!(read(objects, "d/one", None).await, b"again");
}

/// Writers and deleters of neighbours do not disturb each other.
async fn deletion_beside_writing(objects: Arc<dyn Objects>) {
    let tasks = (0..4).map(|task| {
        let objects = objects.clone();
        tokio::spawn(async move {
            for round in 0..25 {
                let key = format!("busy/deep/{task}-{round}");
                put(objects.as_ref(), &key, key.as_bytes()).await;
                assert_eq!(read(objects.as_ref(), &key, None).await, key.as_bytes());
                objects.delete(&key).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
    assert_eq!(objects.list("busy").await.unwrap(), Vec::<String>::new());
}

async fn put(objects: &dyn Objects, key: &str, content: &[u8]) {
    let mut writer = objects.create(key).await.unwrap();
    writer.write(Bytes::copy_from_slice(content)).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), content.len() as u64);
}

async fn read(objects: &dyn Objects, key: &str, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let whole = objects.size(key).await.unwrap();
    let (size, stream) = objects.read(key, range).await.unwrap();
    assert_eq!(size, whole, "the size is of the whole object");
    stream.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}

/// Bytes that look random and are the same each time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}
