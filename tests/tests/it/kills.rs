//! `kill -9` twenty times, of trainer or server, at random moments and inside the write of a checkpoint: every job ends with the bits
//! of one that was left alone, and nothing half-written is ever gone on from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Api, Server, data, process};

const LIMIT: Duration = Duration::from_secs(90);
const KILLS: usize = 20;
/// A write of a checkpoint is caught within this time, or the kill falls where it falls.
const CATCH: Duration = Duration::from_secs(3);

/// `SplitMix64`: a test that failed is run again with the seed that it printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let mut bytes = [0; 8];
        let mut source = fs::File::open("/dev/urandom").unwrap();
        std::io::Read::read_exact(&mut source, &mut bytes).unwrap();
        let given = std::env::var_os("TRAINYARD_TEST_SEED");
        let given = given.map(|seed| seed.to_str().unwrap().parse().unwrap());
        let seed = given.unwrap_or(u64::from_le_bytes(bytes));
        println!("TRAINYARD_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Where a kill falls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// So long after a trainer was seen.
    After(Duration),
    /// While the trainer writes a checkpoint.
    Writing,
    /// While the agent brings one to the object store.
    Uploading,
}

async fn create(api: &Api, file: &str, valid: &str) -> String {
    let mut request = api::request(file, 20, 4);
    request["validation_file"] = json!(valid);
    request["trainyard"]["adapter"]["dropout"] = json!(0.1);
    request["trainyard"]["checkpoint"] = json!({"every_steps": 10, "every_seconds": null});
    request["trainyard"]["evaluation"] = json!({"every_steps": 50});
    api.create(request).await
}

/// Weights and result file of a job that has to have succeeded.
async fn outcome(api: &Api, id: &str) -> (Vec<u8>, String) {
    let job = api.end(id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    let weights = api.artifact(&text(&job, "/fine_tuned_model"), "adapter_model.safetensors").await;
    let csv = api.bytes(&format!("/v1/files/{}/content", text(&job, "/result_files/0"))).await;
    (weights, String::from_utf8(csv).unwrap())
}

/// Every start from a checkpoint was from one that had been told to be complete before, and none had to be passed over.
async fn only_complete_ones_were_chosen(api: &Api, id: &str) {
    let mut complete = Vec::new();
    for message in api.messages(id).await {
        if let Some(step) = message.strip_prefix("Checkpoint created at step ") {
            complete.push(step.to_string());
        } else if let Some(step) = message.strip_prefix("Fine-tuning job started again from step ")
        {
            assert!(complete.iter().any(|known| known == step), "{message}: {complete:?}");
        }
        assert!(!message.contains("passed over") && !message.contains("damaged"), "{message}");
    }
    assert!(!complete.is_empty());
}

/// What has a manifest in the object store is whole: each file that it names is there with its hash.
fn manifests_hold(objects: &Path) {
    let mut directories = vec![objects.join("jobs")];
    while let Some(directory) = directories.pop() {
        for entry in entries(&directory) {
            if entry.is_dir() {
                directories.push(entry);
            } else if entry.ends_with("manifest.json") {
                let manifest: Value = serde_json::from_slice(&api::read(&entry)).unwrap();
                for (name, file) in manifest["files"].as_object().unwrap() {
                    let bytes = api::read(&directory.join(name));
                    let hash: String =
                        Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                    assert_eq!(file["sha256"], hash, "{}/{name}", directory.display());
                }
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whether a checkpoint is being written by the trainer, or to the object store.
fn is_under_way(data: &Path, moment: Moment) -> bool {
    match moment {
        Moment::After(_) => true,
        // Each process writes in a directory of its own.
        Moment::Uploading => {
            entries(&data.join("objects/.writing")).iter().any(|drafts| !entries(drafts).is_empty())
        }
        Moment::Writing => entries(&data.join("work")).iter().any(|work| {
            entries(&work.join("out/checkpoints"))
                .iter()
                .any(|path| path.extension().is_some_and(|extension| extension == "partial"))
        }),
    }
}

/// Waits for the moment; whether the trainer was still there.
fn wait_for(server: &Server, moment: Moment) -> bool {
    let data = server.directory().join("data");
    match moment {
        Moment::After(delay) => std::thread::sleep(delay),
        _ => {
            let start = Instant::now();
            while !is_under_way(&data, moment) {
                if start.elapsed() > CATCH || process::children(server.pid()).is_empty() {
                    return false;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }
    true
}

#[tokio::test]
async fn killed_twenty_times_no_bit_changes_and_no_half_checkpoint_is_chosen() {
    let mut random = Random::new();
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--attempts-failed-max", "50", "--attempts-lost-max", "50"];
    let mut server = Server::start_with(directory.path(), &flags);
    let mut api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let valid = api.file("valid.jsonl", data::chat(16)).await;
    let calm = create(&api, &file, &valid).await;
    let expected = outcome(&api, &calm).await;
    assert!(!expected.0.is_empty());

    let mut id = create(&api, &file, &valid).await;
    let (mut kills, mut caught, mut ended) = (0, 0, 0);
    while kills < KILLS {
        let start = Instant::now();
        let trainer = loop {
            if let [trainer] = process::children(server.pid())[..] {
                break Some(trainer);
            }
            let job = api.job(&id).await;
            if matches!(text(&job, "/status").as_str(), "succeeded" | "failed") {
                break None;
            }
            assert!(start.elapsed() < LIMIT, "no trainer: {job:#}\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let Some(trainer) = trainer else {
            assert!(
                outcome(&api, &id).await == expected,
                "the adapter differs after {kills} kills"
            );
            only_complete_ones_were_chosen(&api, &id).await;
            ended += 1;
            id = create(&api, &file, &valid).await;
            continue;
        };
        let moment = match kills % 4 {
            0 => Moment::Writing,
            1 => Moment::Uploading,
            _ => Moment::After(Duration::from_micros(random.below(1_500_000))),
        };
        if !wait_for(&server, moment) {
            continue;
        }
        // An agent that lives brings to its end what it has begun.
        let hits_server = moment == Moment::Uploading || random.below(2) == 0;
        let data = directory.path().join("data");
        if hits_server {
            server.kill();
        } else if process::children(server.pid()).contains(&trainer) {
            process::signal(trainer, Signal::SIGKILL);
        } else {
            continue;
        }
        kills += 1;
        let aimed = !matches!(moment, Moment::After(_));
        caught += usize::from(aimed && is_under_way(&data, moment));
        if hits_server {
            manifests_hold(&data.join("objects"));
            server = server.start_again();
            api = server.api();
        } else {
            // Its end is noticed before the next one is looked for.
            while process::children(server.pid()).contains(&trainer) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    assert!(outcome(&api, &id).await == expected, "the adapter differs after {kills} kills");
    only_complete_ones_were_chosen(&api, &id).await;
    let attempts = number(&api.job(&id).await, "/trainyard/progress/attempts");
    // A server that lives sweeps away surplus checkpoints, also while they are read here.
    server.kill();
    manifests_hold(&directory.path().join("data/objects"));
    println!(
        "{kills} kills over {} jobs, {caught} inside a write, {attempts} attempts of the last",
        ended + 1
    );
    assert!(caught >= 3, "only {caught} kills fell inside the write of a checkpoint");
}
