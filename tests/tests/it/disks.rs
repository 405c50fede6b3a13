//! Disks that are full: plain errors that lose nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Server, data};

const LIMIT: Duration = Duration::from_secs(60);

/// A file system in memory of a few MiB, at a place of the test's own. Mounting takes privileges.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this machine does not let the test mount.
    fn mount(place: &Path, mib: u32) -> Option<Self> {
        fs::create_dir_all(place).expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(place);
        mount.status().is_ok_and(|status| status.success()).then(|| Self(place.to_path_buf()))
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.0.join("filler")).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_no_job() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(&directory.path().join("data"), 64) else {
        println!("not tested: this machine does not let the test mount a small disk");
        return;
    };
    let mut server = Server::start_with(directory.path(), &["--attempts-failed-max", "1000"]);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let calm = api.create(api::request(&file, 20, 4)).await;
    let calm = api.end(&calm, LIMIT).await;
    let expected =
        api.artifact(&text(&calm, "/fine_tuned_model"), "adapter_model.safetensors").await;

    let mut request = api::request(&file, 20, 4);
    request["trainyard"]["checkpoint"] =
        serde_json::json!({"every_steps": 20, "every_seconds": null});
    let id = api.create(request.clone()).await;
    api.wait(&id, LIMIT, |job| number(job, "/trainyard/progress/step") >= 30.0).await;
    disk.fill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Record and objects are on it: a submit is refused in words, and what was taken is still there.
    let (status_of_submit, taken) =
        api.call(Method::POST, "/v1/fine_tuning/jobs", Some(request)).await;
    // The log of the record may have room in itself.
    assert!(matches!(status_of_submit, 200 | 503), "{status_of_submit} {taken}");
    let (status, body) = api.upload("more.jsonl", data::chat(2000)).await;
    assert_eq!(
        (status, text(&body, "/error/code").as_str()),
        (503, "service_unavailable"),
        "{body}"
    );
    assert!(text(&body, "/error/message").contains("no disk space left"), "{body}");
    let job = api.job(&id).await;
    assert_ne!(text(&job, "/status"), "failed", "{job:#}");

    disk.free();
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    let weights = api.artifact(&text(&job, "/fine_tuned_model"), "adapter_model.safetensors").await;
    assert!(expected == weights, "the adapter differs");
    if status_of_submit == 200 {
        let job = api.end(&text(&taken, "/id"), LIMIT).await;
        assert_eq!(text(&job, "/status"), "succeeded", "what was taken is done: {job:#}");
    }
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_full_work_directory_fails_the_job_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(&directory.path().join("work"), 1) else {
        println!("not tested: this machine does not let the test mount a small disk");
        return;
    };
    let flags = ["--work-dir", "work", "--attempts-failed-max", "0"];
    let server = Server::start_with(directory.path(), &flags);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    disk.fill();
    let id = api.create(api::request(&file, 1, 4)).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/error/code"), "disk_full", "{job:#}");

    disk.free();
    let id = api.create(api::request(&file, 1, 4)).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
}
