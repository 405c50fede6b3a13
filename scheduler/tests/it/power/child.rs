//! The process that loses its power: uploads files and submits jobs, and says so once each is acknowledged.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use trainyard_openapi::body;
use trainyard_openapi::file::Purpose;
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::fs::FsObjects;
use trainyard_scheduler::adapter::memory::MemoryQueue;
use trainyard_scheduler::adapter::sqlite::{SqliteStore, Synchronous};
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig};

/// What every uploaded file holds.
pub(super) const CONTENT: &str = "{\"prompt\": \"a\", \"completion\": \"b\"}\n";

fn say(what: &str, value: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {value}").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
#[ignore = "the other side of the power cuts; they start it"]
async fn submits_until_the_power_goes() {
    // The test harness has begun a line.
    writeln!(std::io::stdout()).unwrap();
    let mut lines = std::io::stdin().lock().lines();
    let mut line = || lines.next().unwrap().unwrap();
    let (root, synchronous, key) = (line(), line(), line());
    let root = Path::new(&root);
    let synchronous = match synchronous.as_str() {
        "NORMAL" => Synchronous::Normal,
        "OFF" => Synchronous::Off,
        _ => Synchronous::Full,
    };
    let models = tempfile::tempdir().unwrap();
    std::fs::create_dir(models.path().join("tiny")).unwrap();
    let facts = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "vocab_size": 256, "max_position_embeddings": 512,
    });
    std::fs::write(models.path().join("tiny/config.json"), facts.to_string()).unwrap();
    let (path, clock) = (root.join("record.db"), Arc::new(SystemClock));
    let scheduler = Scheduler::new(Parts {
        store: Arc::new(SqliteStore::open_synchronous(&path, clock, synchronous).unwrap()),
        queue: Arc::new(MemoryQueue::new()),
        objects: Arc::new(FsObjects::open(&root.join("objects")).unwrap()),
        models: BaseModels::new(models.path().to_path_buf()),
        host: HostFacts { cuda: false, fast_bf16: false, memory_bytes: 1 << 33 },
        inspector: None,
        config: SchedulerConfig::default(),
    });
    let key = match key.as_str() {
        "none" => {
            let key = scheduler.bootstrap_key().await.unwrap().unwrap();
            say("key", &key);
            key
        }
        known => known.to_string(),
    };
    let ctx = scheduler.authenticate(&key).await.unwrap();
    loop {
        let mut upload =
            scheduler.begin_upload(&ctx, "train.jsonl", Purpose::FineTune).await.unwrap();
        upload.write(CONTENT.into()).await.unwrap();
        let file = upload.finish().await.unwrap();
        say("file", file.id.as_str());
        for seed in 0..3 {
            let request = json!({"model": "tiny", "training_file": file.id, "seed": seed});
            let request = body::parse(request.to_string().as_bytes()).unwrap();
            let job = scheduler.submit(&ctx, request, None).await.unwrap();
            say("job", job.id.as_str());
        }
    }
}
