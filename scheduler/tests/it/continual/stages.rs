//! A stream in one job: its files are looked at, handed out and held, and the ends of its stages are kept.

use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::page::{Order, PageRequest};

use super::{Stream, file, refused, submit};
use crate::world::{World, code, request};

#[tokio::test]
async fn a_stream_is_shown_and_its_files_are_handed_out() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "a").await;
    let id = stream.submit(&world).await;
    let run = world.started().await;
    let inputs = run.claim.continual.as_ref().unwrap();
    let ids = |n: usize| {
        let stage = &inputs.stages[n];
        (stage.training.id.clone(), stage.validation.as_ref().unwrap().id.clone())
    };
    for n in [0, 1] {
        assert_eq!(ids(n), (stream.training[n].clone(), stream.validation[n].clone()));
    }
    assert_eq!(inputs.held_out.as_ref().unwrap().id, stream.held_out);
    assert_eq!((&inputs.parent, inputs.earlier.len()), (&None, 0));
    assert_eq!(run.claim.training_file.id, stream.training[0]);
    let job = world.job(&id).await;
    let shown = job.trainyard.continual.unwrap();
    assert_eq!((shown.stages.len(), job.validation_file), (2, None));
    assert_eq!(shown.stages[1].training_file, stream.training[1].to_string());

    let every = stream.training.iter().chain(&stream.validation).chain([&stream.held_out]);
    for used in every {
        let deleted = world.scheduler.delete_file(&world.ctx, used).await;
        assert_eq!(code(deleted), ErrorCode::InUse);
    }
    run.complete().await.unwrap();
    let later = world.scheduler.lineage(&world.ctx, &stream.validation[1]).await.unwrap();
    assert_eq!((later.jobs[0].trained, later.jobs[0].validated), (false, true));
    let later = world.scheduler.lineage(&world.ctx, &stream.training[1]).await.unwrap();
    assert_eq!((later.jobs[0].trained, later.jobs[0].validated), (true, false));
    world.scheduler.delete_file(&world.ctx, &stream.training[1]).await.unwrap();
}

#[tokio::test]
async fn every_line_of_every_stage_is_read_before_the_job_is_queued() {
    let world = World::new(1).await;
    let stage = |n: usize, what: &str| format!("trainyard.continual.stages[{n}].{what}");
    for (place, param) in [
        (0, stage(1, "training_file")),
        (1, stage(1, "validation_file")),
        (2, "trainyard.continual.held_out_file".to_string()),
    ] {
        let mut stream = Stream::of(&world, &format!("b{place}")).await;
        let bad = world
            .upload(&world.ctx, "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"x\": 1}\n")
            .await;
        match place {
            0 => stream.training[1] = bad,
            1 => stream.validation[1] = bad,
            _ => stream.held_out = bad,
        }
        let id = stream.submit(&world).await;
        world.tick().await;
        let job = world.job(&id).await;
        let error = job.error.unwrap();
        assert_eq!((job.status, error.param), (JobStatus::Failed, Some(param)));
        assert!(error.message.contains("line 2"), "{}", error.message);
    }
}

#[tokio::test]
async fn files_that_may_not_be_read_are_refused_by_their_field() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "c").await;
    let foreign = world.upload(&world.stranger().await, "{\"text\": \"x\"}\n").await;
    for (place, param) in [
        ("training_file", "trainyard.continual.stages[1].training_file"),
        ("validation_file", "trainyard.continual.stages[1].validation_file"),
    ] {
        let mut extra = stream.extra(json!({}));
        extra["trainyard"]["continual"]["stages"][1][place] = json!(foreign);
        let answer = submit(&world, &stream.training[0], extra).await;
        assert!(refused(answer, ErrorCode::InvalidFile, param).contains("no such file"));
    }
    let held_out = "trainyard.continual.held_out_file";
    let extra = stream.extra(json!({"held_out_file": foreign}));
    refused(submit(&world, &stream.training[0], extra).await, ErrorCode::InvalidFile, held_out);
    let copy = file(&world, "c t2").await;
    let extra = stream.extra(json!({"held_out_file": copy}));
    let text =
        refused(submit(&world, &stream.training[0], extra).await, ErrorCode::InvalidFile, held_out);
    assert!(text.contains("stage 'code' trains on"), "{text}");
}

#[tokio::test]
async fn what_a_budget_protects_is_in_no_stage_of_a_job_without_privacy() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "d").await;
    let budget = serde_json::from_value(json!({"budget": {"epsilon": 8.0}})).unwrap();
    world.scheduler.set_privacy_budget(&world.ctx, &stream.training[1], &budget).await.unwrap();
    world.scheduler.set_privacy_budget(&world.ctx, &stream.held_out, &budget).await.unwrap();
    let create = async |extra| submit(&world, &stream.training[0], extra).await;
    let param = "trainyard.continual.stages[1].training_file";
    let text = refused(create(stream.extra(json!({}))).await, ErrorCode::InvalidFile, param);
    assert!(text.contains("privacy budget"), "{text}");
    let mut extra = stream.extra(json!({}));
    extra["trainyard"]["continual"]["stages"][1]["training_file"] =
        json!(file(&world, "d t3").await);
    let held_out = "trainyard.continual.held_out_file";
    refused(create(extra).await, ErrorCode::InvalidFile, held_out);
}

#[tokio::test]
async fn the_ends_of_stages_are_named_and_never_pruned() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "e").await;
    let mut extra = stream.extra(json!({}));
    extra["trainyard"]["checkpoint"] = json!({"keep": 1});
    let id = submit(&world, &stream.training[0], extra).await.unwrap();
    let run = world.started().await;
    for (step, stage) in [(1, None), (2, Some("law")), (3, None), (4, None), (5, Some("code"))] {
        run.checkpoint_of(step, stage).await.unwrap();
    }
    let page = PageRequest { after: None, limit: 9, order: Order::Desc };
    let list = world.scheduler.checkpoints(&world.ctx, &id, &page).await.unwrap().data;
    let seen: Vec<_> = list
        .iter()
        .map(|one| (one.step_number, one.trainyard.as_ref().map(|more| more.stage.as_str())))
        .collect();
    assert_eq!(seen, [(5, Some("code")), (4, None), (2, Some("law"))]);
    let said = world.messages(&id).await;
    assert!(said.iter().any(|text| text.contains("step 2, the end of stage 'law'")), "{said:?}");
    run.complete().await.unwrap();
    let list = world.scheduler.checkpoints(&world.ctx, &id, &page).await.unwrap().data;
    assert!(list.iter().any(|one| one.step_number == 2), "it outlives the run");
}

#[tokio::test]
async fn a_dry_run_looks_at_every_file() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "f").await;
    let request = request(&stream.training[0], stream.extra(json!({})));
    let told = world.scheduler.preflight(&world.ctx, &request).await.unwrap();
    let params: Vec<&str> = told.files.iter().map(|file| file.param.as_str()).collect();
    let of = |n: usize, what: &str| format!("trainyard.continual.stages[{n}].{what}");
    let expected = [
        "training_file".to_string(),
        of(0, "validation_file"),
        of(1, "training_file"),
        of(1, "validation_file"),
        "trainyard.continual.held_out_file".to_string(),
    ];
    assert_eq!(params, expected);
    assert!(told.valid);
    // Two stages of ten lines, one at a time, eight passes each.
    assert_eq!(told.total_steps, 160);
}
