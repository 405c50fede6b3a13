//! A cluster's processes, each of which has what it knows and nothing else: rules tell by that which part is missing.

use std::time::Duration;

use trainyard_tests::api::{self, text};
use trainyard_tests::{Cluster, ClusterOptions, Redis, Role, data};

use super::scrape::{Scrape, address};
use crate::rabbitmq::broker::Broker;

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test]
async fn each_part_of_a_cluster_tells_what_it_knows() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let redis = Redis::start(directory.path());
    let mut options = ClusterOptions::new(redis.url(), broker.url());
    (options.api, options.scheduler, options.executors) = (1, 1, 1);
    let roles = [Role::Api, Role::Scheduler, Role::Executor];
    for role in roles {
        options = options.with(role, &["--metrics-listen", "127.0.0.1:0"]);
    }
    let cluster = Cluster::start(directory.path(), options);
    let api = cluster.api(0);
    let file = api.file("train.jsonl", data::chat(8)).await;
    let id = api.create(api::request(&file, 1, 4)).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    tokio::time::sleep(Duration::from_secs(3)).await;

    let mut scrapes = Vec::new();
    for role in roles {
        let scrape = Scrape::of(&address(&cluster.log(role, 0))).await;
        scrape.lint();
        assert!(scrape.names().contains(&"trainyard_build_info"), "{}", scrape.text);
        scrapes.push(scrape);
    }
    let [of_api, of_scheduler, of_executor] = &scrapes[..] else {
        unreachable!("one of each role")
    };
    // Without them in any scrape, the scheduler is missing.
    let only = |name: &str, scrape: &Scrape| {
        let with = scrapes.iter().filter(|scrape| scrape.names().contains(&name)).count();
        assert!(with == 1 && scrape.names().contains(&name), "{name} is in {with} scrapes");
    };
    only("trainyard_outbox_entries", of_scheduler);
    only("trainyard_jobs", of_scheduler);
    only("trainyard_http_requests_total", of_api);
    only("trainyard_train_steps_total", of_executor);
    // Executors ask the api, so it knows of claims and ends.
    let one = [
        (of_api, "trainyard_job_queue_wait_seconds_count{pool=\"default\"}"),
        (of_api, "trainyard_job_duration_seconds_count{outcome=\"succeeded\"}"),
        (of_api, "trainyard_store_durable"),
        (of_scheduler, "trainyard_publish_confirms_total{result=\"ok\"}"),
    ];
    for (scrape, series) in one {
        assert_eq!(scrape.value(series), 1.0, "{series}");
    }
    let claims = "trainyard_http_requests_total{code=\"200\",method=\"POST\",route=\"/internal/v1/leases/claim\"}";
    assert_eq!(of_api.value(claims), 1.0);
    assert_eq!(of_scheduler.sum("trainyard_jobs"), 0.0);
}
