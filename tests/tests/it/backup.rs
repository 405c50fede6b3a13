//! A backup taken while jobs are trained, and the server that is made of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use trainyard_tests::api::{self, text};
use trainyard_tests::process::{self, Said};
use trainyard_tests::{Api, Server, data};

const LIMIT: Duration = Duration::from_secs(120);

fn json_of(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

async fn create(api: &Api, file: &str, epochs: u32) -> String {
    let mut request = api::request(file, epochs, 4);
    request["trainyard"]["checkpoint"] =
        json!({"every_steps": 5, "every_seconds": null, "keep": 1});
    api.create(request).await
}

/// Every file of every model, every checkpoint's and every file's content, read through the server: nothing dangles.
async fn audit(api: &Api) -> (usize, usize) {
    let (mut models, mut files) = (0, 0);
    let jobs = api.get("/v1/fine_tuning/jobs?limit=1000").await;
    for job in jobs["data"].as_array().expect("a list") {
        let mut names = Vec::new();
        if text(job, "/status") == "succeeded" {
            names.push(text(job, "/fine_tuned_model"));
        }
        let checkpoints = api
            .get(&format!("/v1/fine_tuning/jobs/{}/checkpoints?limit=1000", text(job, "/id")))
            .await;
        let checkpoints = checkpoints["data"].as_array().expect("a list");
        names.extend(checkpoints.iter().map(|one| text(one, "/fine_tuned_model_checkpoint")));
        for name in names {
            let list = api.get(&format!("/v1/models/{name}/artifacts")).await;
            for artifact in list["data"].as_array().expect("a list") {
                let content = api.artifact(&name, &text(artifact, "/name")).await;
                assert_eq!(
                    Some(content.len() as u64),
                    artifact["bytes"].as_u64(),
                    "{name}: {artifact}"
                );
            }
            models += 1;
        }
    }
    for file in api.get("/v1/files?limit=1000").await["data"].as_array().expect("a list") {
        let content = api.bytes(&format!("/v1/files/{}/content", text(file, "/id"))).await;
        assert_eq!(Some(content.len() as u64), file["bytes"].as_u64(), "{file}");
        files += 1;
    }
    (models, files)
}

#[tokio::test]
async fn a_backup_under_load_becomes_a_server_that_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(40)).await;
    let done = create(&api, &file, 1).await;
    assert_eq!(text(&api.end(&done, LIMIT).await, "/status"), "succeeded");
    let long = create(&api, &file, 50).await;
    api.wait(&long, LIMIT, |job| {
        job.pointer("/trainyard/progress/step").and_then(Value::as_u64) > Some(10)
    })
    .await;

    // Files come and go, jobs are made, checkpoints replace each other while three backups are taken.
    let load = tokio::spawn({
        let (api, file) = (api.clone(), file.clone());
        async move {
            for number in 0.. {
                let gone = api.file("gone.jsonl", format!("{{\"text\": \"{number}\"}}\n")).await;
                let (status, _) =
                    api.call(reqwest::Method::DELETE, &format!("/v1/files/{gone}"), None).await;
                assert_eq!(status, 200);
                if number % 20 == 0 {
                    create(&api, &file, 1).await;
                }
            }
        }
    });
    let backup = |out: &str, more: &[&str]| {
        let args = [&["backup", "--data-dir", "data", "--out", out, "--json"], more].concat();
        let path = directory.path().to_path_buf();
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            process::trainyard(&path, &args)
        })
    };
    let first = json_of(&backup("first", &["--with-models"]).await.expect("it ran"));
    let second =
        backup("second", &["--with-models", "--link-from", "first"]).await.expect("it ran");
    let second = json_of(&second);
    let third = json_of(&backup("third", &[]).await.expect("it ran"));
    assert!(!load.is_finished(), "the load ended early");
    load.abort();
    assert_eq!(text(&api.job(&long).await, "/status"), "running", "the backup disturbed the job");
    assert!(first["counts"]["jobs_succeeded"].as_u64() >= Some(1), "{first}");
    assert_eq!(first["counts"]["jobs_running"], 1, "{first}");
    assert!(second["counts"]["audit_entries"].as_u64() > first["counts"]["audit_entries"].as_u64());
    assert_eq!(third["base_models"], false);
    let taken = backup("first", &[]).await.expect("it ran");
    assert!(taken.code == 2 && taken.stderr.contains("there already"), "{taken:?}");
    server.kill();
    drop(server);

    let verified =
        process::trainyard(directory.path(), &["audit", "verify", "--data-dir", "second"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let again = directory.path().join("again");
    fs::create_dir(&again).expect("a directory");
    let restored = json_of(&process::trainyard(
        directory.path(),
        &["restore", "second", "--data-dir", "again/data", "--json"],
    ));
    assert_eq!(restored["counts"], second["counts"]);
    fs::copy(directory.path().join("key"), again.join("key")).expect("the key");
    let server = Server::start(&again);
    let api = server.api();
    let job = api.wait(&long, LIMIT, |job| text(job, "/status") == "running").await;
    let at = job.pointer("/trainyard/progress/step").and_then(Value::as_u64);
    assert!(at >= Some(5), "it began anew: {job:#}");
    let jobs = api.get("/v1/fine_tuning/jobs?limit=1000").await;
    for job in jobs["data"].as_array().expect("a list") {
        let ended = api.end(&text(job, "/id"), LIMIT).await;
        assert_eq!(text(&ended, "/status"), "succeeded", "{ended:#}");
    }
    let (models, files) = audit(&api).await;
    assert!(models >= 3 && files >= 3, "{models} models, {files} files");
}

/// A small data directory's backup, with one finished upload in it.
async fn small(directory: &Path) -> PathBuf {
    let mut server = Server::start(directory);
    server.api().file("train.jsonl", data::chat(4)).await;
    assert_eq!(server.terminate().0, Some(0));
    let said = process::trainyard(directory, &["backup", "--data-dir", "data", "--out", "whole"]);
    assert!(said.code == 0 && said.stdout.contains("audit_entries"), "{said:?}");
    directory.join("whole")
}

#[tokio::test]
async fn a_damaged_backup_is_refused_by_the_name_of_its_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = small(directory.path()).await;
    let restore =
        || process::trainyard(directory.path(), &["restore", "whole", "--data-dir", "new"]);
    let object = fs::read_dir(whole.join("objects/files")).expect("files").next().expect("one");
    let object = object.expect("an entry").path();
    let manifest = whole.join("backup.json");
    let listed = fs::read_to_string(&manifest).expect("the manifest");
    for path in [&object, &whole.join("trainyard.db"), &manifest] {
        let clean = fs::read(path).expect("a file");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let mut flipped = clean.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for content in [Some(&clean[..clean.len() - 1]), Some(&flipped[..]), None] {
            match content {
                Some(content) => fs::write(path, content).expect("written"),
                None => fs::remove_file(path).expect("removed"),
            }
            let said = restore();
            assert_eq!(said.code, 7, "{name}: {said:?}");
            if path != &manifest || content.is_none() {
                assert!(said.stderr.contains(name), "{name}: {said:?}");
            }
            let left = fs::read_dir(directory.path().join("new")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{name}: something was left behind");
            fs::write(path, &clean).expect("written");
        }
    }
    // A manifest that leaves a file out, or names one outside.
    let mut value: Value = serde_json::from_str(&listed).expect("JSON");
    let key =
        format!("objects/files/{}", object.file_name().and_then(|n| n.to_str()).expect("a name"));
    let entry = value["files"].as_object_mut().expect("files").remove(&key).expect("the entry");
    fs::write(&manifest, value.to_string()).expect("written");
    let said = restore();
    assert!(said.code == 7 && said.stderr.contains(&key), "{said:?}");
    value["files"]["../outside"] = entry;
    fs::write(&manifest, value.to_string()).expect("written");
    let said = restore();
    assert!(said.code == 7 && said.stderr.contains("../outside"), "{said:?}");
    fs::write(&manifest, &listed).expect("written");

    assert_eq!(restore().code, 0);
    let said = restore();
    assert!(said.code == 2 && said.stderr.contains("not empty"), "{said:?}");
    // An interrupted restore is not served, and the same command mends it.
    fs::write(directory.path().join("new/restore-unfinished"), "").expect("written");
    let said = process::trainyard(
        directory.path(),
        &["serve", "--data-dir", "new", "--listen", "127.0.0.1:0"],
    );
    assert!(said.code == 1 && said.stderr.contains("not restored to the end"), "{said:?}");
    assert_eq!(restore().code, 0);
}

#[tokio::test]
async fn an_interrupted_backup_goes_on_and_a_corrupt_object_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = small(directory.path()).await;
    // What a killed run leaves: half a file under a hidden name, one that is whole, one that is damaged, one of nobody.
    fs::rename(&whole, directory.path().join("next.partial")).expect("renamed");
    let partial = directory.path().join("next.partial");
    fs::remove_file(partial.join("backup.json")).expect("removed");
    fs::write(partial.join("objects/files/.x.part"), "half").expect("written");
    fs::write(partial.join("objects/files/file-of-nobody"), "gone").expect("written");
    let object = fs::read_dir(directory.path().join("data/objects/files")).expect("files").next();
    let object = object.expect("one").expect("an entry").path();
    fs::write(partial.join("objects/files").join(object.file_name().expect("a name")), "damaged")
        .expect("written");
    let next =
        || process::trainyard(directory.path(), &["backup", "--data-dir", "data", "--out", "next"]);
    let said = next();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!partial.exists());
    let kept: Vec<_> =
        fs::read_dir(directory.path().join("next/objects/files")).expect("files").collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        process::trainyard(directory.path(), &["restore", "next", "--data-dir", "new"]).code,
        0
    );

    fs::remove_dir_all(directory.path().join("next")).expect("removed");
    let clean = fs::read(&object).expect("the object");
    fs::write(&object, "changed in place").expect("written");
    let said = next();
    assert!(said.code == 7 && said.stderr.contains("was changed after it was written"), "{said:?}");
    fs::remove_file(&object).expect("removed");
    let said = next();
    assert!(said.code == 7 && said.stderr.contains("is not in"), "{said:?}");
    assert!(!directory.path().join("next").exists());
    fs::write(&object, clean).expect("written");
    assert_eq!(next().code, 0);
}
