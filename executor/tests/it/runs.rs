//! Runs of every kind.

use std::time::{Duration, Instant};

use trainyard_openapi::job::JobStatus;
use trainyard_openapi::page::{Order, PageRequest};

use crate::bench::Bench;

fn is_alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A dead child that nobody has waited for yet is dead.
    !state.is_empty() && !state.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_in_order_and_leaves_nothing_behind() {
    let bench = Bench::start("complete").await;
    let id = bench.submit().await;
    let job = bench.ended(&id).await;
    assert_eq!(
        (job.status, job.trained_tokens),
        (JobStatus::Succeeded, Some(100)),
        "{:?}",
        job.error
    );
    let told = bench.messages(&id).await;
    let at = |text: &str| {
        told.iter()
            .position(|message| message.starts_with(text))
            .unwrap_or_else(|| panic!("{text}: {told:?}"))
    };
    let order = [
        at("Created"),
        at("Files validated"),
        at("Fine-tuning job started"),
        at("Training 2 of 10"),
        at("3 rows of the training file were truncated"),
        at("Step 1/10"),
        at("Step 5/10"),
        at("Checkpoint created at step 5"),
        at("New fine-tuned model"),
        at("The job has successfully"),
    ];
    assert!(order.is_sorted(), "{told:?}");
    assert!(told.iter().any(|message| message.starts_with("Step 10/10")));
    bench.cleared().await;
    let page = PageRequest { after: None, limit: 10, order: Order::Desc };
    assert_eq!(bench.scheduler.checkpoints(&bench.ctx, &id, &page).await.unwrap().data.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_heard_at_once() {
    let bench = Bench::start("obey").await;
    let id = bench.submit().await;
    bench.running(&id).await;
    let begun = Instant::now();
    let job = bench.scheduler.cancel(&bench.ctx, &id).await.unwrap();
    assert_eq!(
        job.status,
        JobStatus::Cancelled,
        "the answer itself says so, after {:?}",
        begun.elapsed()
    );
    assert!(bench.messages(&id).await.contains(&"The job was cancelled".to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_obey_is_killed_with_all_that_it_started() {
    let bench = Bench::start("ignore").await;
    let id = bench.submit().await;
    bench.running(&id).await;
    let pids = loop {
        let told = bench.messages(&id).await;
        if let Some(line) = told.iter().find_map(|message| message.strip_prefix("pids ")) {
            break line.to_string();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(pids.split(' ').all(is_alive));
    bench.scheduler.cancel(&bench.ctx, &id).await.unwrap();
    assert_eq!(bench.ended(&id).await.status, JobStatus::Cancelled);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!pids.split(' ').any(is_alive), "{pids} are alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_trainer_is_started_again_from_its_checkpoint() {
    let bench = Bench::start("die-once").await;
    let id = bench.submit().await;
    let job = bench.ended(&id).await;
    assert_eq!(job.status, JobStatus::Succeeded, "{:?}", job.error);
    let told = bench.messages(&id).await;
    let again = told.iter().find(|message| message.contains("tried again")).unwrap();
    assert!(again.contains("signal 9") && again.contains("about to die"), "{again}");
    assert!(told.contains(&"Fine-tuning job started again from step 3".to_string()), "{told:?}");
    assert_eq!(
        told.iter().filter(|message| message.starts_with("Step 2/10")).count(),
        1,
        "no step twice: {told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_the_users_or_are_tried_again() {
    let bench = Bench::start("refuse").await;
    let id = bench.submit().await;
    let error = bench.ended(&id).await.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.param.as_deref()),
        ("invalid_data", Some("training_file"))
    );
    assert!(!bench.messages(&id).await.iter().any(|message| message.contains("tried again")));

    for (behaviour, code) in [
        ("die", "trainer_crashed"),
        ("noise", "trainer_crashed"),
        ("lie", "integrity_check_failed"),
    ] {
        let bench = Bench::start(behaviour).await;
        let id = bench.submit().await;
        let job = bench.ended(&id).await;
        assert_eq!(
            (job.status, job.error.unwrap().code.as_str()),
            (JobStatus::Failed, code),
            "{behaviour}"
        );
        let tries = bench
            .messages(&id)
            .await
            .iter()
            .filter(|message| message.contains("tried again"))
            .count();
        assert_eq!(tries, 2, "{behaviour}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_stands_still_is_ended_and_tried_again() {
    let bench = Bench::start("hang").await;
    let id = bench.submit().await;
    let job = bench.ended(&id).await;
    let error = job.error.unwrap();
    assert_eq!((job.status, error.code.as_str()), (JobStatus::Failed, "no_progress"));
    assert!(error.message.contains("after step 9 for 1 s; the limit is 1 s"), "{}", error.message);
    let told = bench.messages(&id).await;
    let tries = told.iter().filter(|message| message.contains("tried again")).count();
    assert_eq!(tries, 2, "{told:?}");
    assert!(told.contains(&"Fine-tuning job started again from step 6".to_string()), "{told:?}");
    bench.cleared().await;

    let bench = Bench::start("hang-at-start").await;
    let id = bench.submit().await;
    let error = bench.ended(&id).await.error.unwrap();
    assert_eq!(error.code.as_str(), "no_progress");
    assert!(error.message.contains("before step 1 for 3 s; the limit is 3 s"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_between_steps_is_not_standing_still() {
    let bench = Bench::start("slow").await;
    let id = bench.submit().await;
    let job = bench.ended(&id).await;
    assert_eq!(job.status, JobStatus::Succeeded, "{:?}", job.error);
    let told = bench.messages(&id).await;
    assert!(!told.iter().any(|message| message.contains("tried again")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_without_memory_gets_smaller_micro_batches() {
    let bench = Bench::start("smaller").await;
    let batching = serde_json::json!({"batching": {"micro_batch_size": 4}});
    let id = bench.submit_with(batching).await;
    let job = bench.ended(&id).await;
    assert_eq!(job.status, JobStatus::Succeeded, "{:?}", job.error);
    let told = bench.messages(&id).await;
    let again = told.iter().find(|message| message.contains("out of memory")).unwrap();
    assert!(again.contains("tried again with micro-batches of"), "{again}");
    assert!(told.iter().any(|message| message.starts_with("Memory ran out in step 1")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_trainer_is_given_its_steps_and_what_it_lost_is_charged() {
    let bench = Bench::start("private").await;
    let id = bench.submit_with(private()).await;
    let job = bench.ended(&id).await;
    assert_eq!(job.status, JobStatus::Succeeded, "{:?}", job.error);
    // Five of the run that was killed, and the seven that the next one took of nine that it had reserved.
    let spent = job.trainyard.result.unwrap().privacy.unwrap();
    assert_eq!((spent.steps, job.trainyard.progress.privacy), (12, Some(spent)));
    assert!(spent.epsilon < job.trainyard.privacy.unwrap().target_epsilon);
    let file = bench.scheduler.file_privacy(&bench.ctx, &job.training_file).await.unwrap();
    let runs =
        file.jobs.iter().map(|run| (run.steps_reserved, run.steps_committed, run.steps_charged));
    assert_eq!(runs.collect::<Vec<_>>(), [(5, 3, 5), (9, 0, 7)]);
    let told = bench.messages(&id).await;
    assert!(
        told.iter().any(|message| message.starts_with("Step 1/10: epsilon charged=")),
        "{told:?}"
    );
    assert!(!told.iter().any(|message| message.to_lowercase().contains("reserve")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_is_refused_steps_ends_its_job() {
    let bench = Bench::start("greedy").await;
    let id = bench.submit_with(private()).await;
    let error = bench.ended(&id).await.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.param.as_deref()),
        ("privacy_refused", Some("trainyard.privacy"))
    );
    assert!(error.message.contains("not 1000000"), "{}", error.message);
    assert!(!bench.messages(&id).await.iter().any(|message| message.contains("tried again")));
}

fn private() -> serde_json::Value {
    serde_json::json!({"privacy": {"target_epsilon": 8.0, "accountant": "rdp"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_counted_and_floods_are_thinned() {
    let bench = Bench::start("garbage").await;
    let id = bench.submit().await;
    assert_eq!(bench.ended(&id).await.status, JobStatus::Succeeded);
    let told = bench.messages(&id).await;
    let counted: u64 = told
        .iter()
        .filter_map(|message| {
            message.strip_suffix(" lines of the trainer were no events")?.parse::<u64>().ok()
        })
        .sum();
    assert_eq!(counted, 21, "{told:?}");

    let bench = Bench::start("flood").await;
    let id = bench.submit().await;
    assert_eq!(bench.ended(&id).await.status, JobStatus::Succeeded);
    let told = bench.messages(&id).await;
    let kept = told.iter().filter(|message| message.starts_with("Step ")).count();
    let thinned: usize = told
        .iter()
        .filter_map(|message| message.split_once(" more steps came")?.0.parse::<usize>().ok())
        .sum();
    assert_eq!(kept + thinned, 5000, "{kept} kept, {thinned} said to be left out");
    assert!(thinned > 0, "how many are kept depends on how long the flood takes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_gets_nothing_of_the_environment() {
    let bench = Bench::start("environment").await;
    let id = bench.submit().await;
    assert_eq!(bench.ended(&id).await.status, JobStatus::Succeeded);
    let told = bench.messages(&id).await;
    let line = told.iter().find_map(|message| message.strip_prefix("environment ")).unwrap();
    let (json, place) = line.rsplit_once(" in ").unwrap();
    let environment: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).unwrap();
    let allowed = ["HOME", "LANG", "LC_CTYPE", "PWD", "SHLVL", "TMPDIR", "_", "OLDPWD"];
    let foreign: Vec<&String> =
        environment.keys().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(place.contains(id.as_str()) && environment["HOME"] == place, "{place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_gives_its_job_back_without_cost() {
    let mut bench = Bench::start("obey").await;
    let id = bench.submit().await;
    bench.running(&id).await;
    bench.stop_agent().await;
    let job = bench.scheduler.job(&bench.ctx, &id).await.unwrap();
    assert_eq!(job.status, JobStatus::Queued);
    bench.cleared().await;
    let told = bench.messages(&id).await;
    assert!(told.iter().any(|message| message.starts_with("Checkpoint created")), "{told:?}");
    assert!(
        !told.iter().any(|message| message.contains("lost") || message.contains("failed")),
        "{told:?}"
    );
    bench.start_agent("complete");
    assert_eq!(bench.ended(&id).await.status, JobStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_goes_on_where_it_was() {
    let bench = Bench::start("obey").await;
    let id = bench.submit().await;
    bench.running(&id).await;
    bench.scheduler.pause(&bench.ctx, &id).await.unwrap();
    bench.until(&id, "paused", |job| job.status == JobStatus::Paused).await;
    bench.scheduler.resume(&bench.ctx, &id).await.unwrap();
    bench.running(&id).await;
    let told = bench.messages(&id).await;
    assert!(
        told.iter().any(|message| message.starts_with("Fine-tuning job started again from step")),
        "{told:?}"
    );
    bench.scheduler.cancel(&bench.ctx, &id).await.unwrap();
}
