//! An earlier result as the model of a job.

use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::JobId;
use trainyard_openapi::page::{Order, PageRequest};

use super::{Stream, file, made, refused, submit};
use crate::world::{World, code, refusal};

#[tokio::test]
async fn a_job_goes_on_from_a_result_and_is_given_what_it_needs() {
    let world = World::new(1).await;
    let first = file(&world, "one").await;
    let check = file(&world, "one v").await;
    let adapter =
        json!({"validation_file": check, "trainyard": {"adapter": {"target_modules": ["q_proj"]}}});
    let (before, model) = made(&world, &first, adapter).await;
    let second = file(&world, "two").await;
    let id = submit(&world, &second, json!({"model": model})).await.unwrap();
    let job = world.job(&id).await;
    assert_eq!(job.model, model);
    let continual = job.trainyard.continual.unwrap();
    assert_eq!(
        (continual.stages[0].name.as_str(), continual.earlier_stages),
        ("stage-2", vec!["stage-1".to_string()])
    );
    let record = world.record(&id).await;
    assert_eq!((record.model.as_str(), &record.parent.as_ref().unwrap().job), ("tiny", &before));
    assert_eq!(record.plan.adapter, world.record(&before).await.plan.adapter, "layers too");

    let run = world.started().await;
    assert_eq!(run.claim.model, "tiny");
    let inputs = run.claim.continual.as_ref().unwrap();
    let parent = inputs.parent.as_ref().unwrap();
    assert_eq!(
        parent.prefix,
        world.store.model(world.ctx.tenant(), &model).await.unwrap().unwrap().prefix
    );
    let earlier: Vec<_> = inputs.earlier.values().map(|file| file.id.clone()).collect();
    assert_eq!(earlier.len(), 2);
    assert!(earlier.contains(&first) && earlier.contains(&check));
    assert_eq!(code(world.scheduler.delete_model(&world.ctx, &model).await), ErrorCode::InUse);
    run.complete().await.unwrap();
    world.scheduler.delete_file(&world.ctx, &first).await.unwrap();
    world.scheduler.delete_model(&world.ctx, &model).await.unwrap();

    // Of a third job the files of both before it are handed out, but for the one that was deleted.
    let next = world.job(&id).await.fine_tuned_model.unwrap();
    let third = submit(&world, &file(&world, "three").await, json!({"model": next})).await.unwrap();
    let stages = world.job(&third).await.trainyard.continual.unwrap().earlier_stages;
    assert_eq!(stages, ["stage-1", "stage-2"]);
    let run = world.started().await;
    let earlier = run.claim.continual.as_ref().unwrap().earlier.values();
    let mut earlier: Vec<_> = earlier.map(|file| file.id.clone()).collect();
    let mut expected = vec![check, second];
    earlier.sort();
    expected.sort();
    assert_eq!(earlier, expected);
}

#[tokio::test]
async fn a_result_that_is_foreign_deleted_erased_or_never_was_is_refused_in_words() {
    let world = World::new(1).await;
    let (own, other) = (file(&world, "own").await, file(&world, "other").await);
    let (_, model) = made(&world, &own, json!({})).await;
    let stranger = world.stranger().await;
    let theirs = crate::world::request(
        &world.upload(&stranger, crate::world::LINES).await,
        json!({"model": model}),
    );
    let text = refused(
        world.scheduler.submit(&stranger, theirs, None).await,
        ErrorCode::ModelNotFound,
        "model",
    );
    assert!(text.contains("does not exist"), "{text}");
    let from = async |model: &str| submit(&world, &other, json!({"model": model})).await;
    let said = async |model: &str| refused(from(model).await, ErrorCode::ModelNotFound, "model");
    assert!(said("ft:tiny:000000:x:0000").await.contains("does not exist"));
    let waiting = world.submit().await;
    let named = format!("{}{}", model.rsplit_once(':').unwrap().0, of(&waiting));
    assert!(said(&named).await.contains("is validating_files"));
    world.scheduler.cancel(&world.ctx, &waiting).await.unwrap();

    world.scheduler.delete_model(&world.ctx, &model).await.unwrap();
    assert!(said(&model).await.contains("was deleted"));
    world.scheduler.erase_file(&world.ctx, &own).await.unwrap();
    assert!(said(&model).await.contains("was erased with a file"));
}

fn of(job: &JobId) -> String {
    format!(
        ":{}",
        job.as_str().strip_prefix(JobId::PREFIX).unwrap().chars().take(12).collect::<String>()
    )
}

#[tokio::test]
async fn a_job_goes_on_from_the_end_of_a_stage_and_not_from_inside_one() {
    let world = World::new(2).await;
    let stream = Stream::of(&world, "s").await;
    let id = stream.submit(&world).await;
    let run = world.started().await;
    for (step, stage) in [(2, Some("law")), (3, None)] {
        run.checkpoint_of(step, stage).await.unwrap();
    }
    let page = PageRequest { after: None, limit: 9, order: Order::Asc };
    let list = world.scheduler.checkpoints(&world.ctx, &id, &page).await.unwrap().data;
    let next = file(&world, "next").await;
    let inside = json!({"model": list[1].fine_tuned_model_checkpoint});
    let text = refused(submit(&world, &next, inside).await, ErrorCode::InvalidValue, "model");
    assert!(text.contains("inside a stage"), "{text}");
    let end = list[0].fine_tuned_model_checkpoint.clone();
    let child = submit(&world, &next, json!({"model": end})).await.unwrap();
    let shown = world.job(&child).await.trainyard.continual.unwrap();
    assert_eq!(
        (shown.earlier_stages, shown.stages[0].name.as_str()),
        (vec!["law".to_string()], "stage-2")
    );
}

#[tokio::test]
async fn what_privacy_protects_is_not_handed_out_again() {
    let world = World::new(1).await;
    let secret = file(&world, "secret").await;
    let (_, model) = made(&world, &secret, json!({})).await;
    let budget = serde_json::from_value(json!({"budget": {"epsilon": 8.0}})).unwrap();
    world.scheduler.set_privacy_budget(&world.ctx, &secret, &budget).await.unwrap();
    submit(&world, &file(&world, "next").await, json!({"model": model})).await.unwrap();
    let run = world.started().await;
    assert_eq!(run.claim.continual.as_ref().unwrap().earlier.len(), 0);
}

#[tokio::test]
async fn the_ranks_of_the_result_count_as_its_files_say() {
    let world = World::new(1).await;
    let (before, model) =
        made(&world, &file(&world, "r1").await, json!({"trainyard": {"adapter": {"rank": 8}}}))
            .await;
    let planned = world.record(&before).await.plan.adapter;
    assert_eq!(planned.lora().unwrap().rank, 8);
    let id = submit(&world, &file(&world, "r2").await, json!({"model": model})).await.unwrap();
    let adapter = world.record(&id).await.plan.adapter;
    let lora = adapter.lora().unwrap();
    // The files of the test's runs say 16.
    assert_eq!((lora.rank, lora.alpha), (16, 32.0));
    let other = json!({"model": model, "trainyard": {"adapter": {"rank": 8}}});
    let answer = submit(&world, &file(&world, "r3").await, other).await;
    assert_eq!(refusal(answer).param.as_deref(), Some("trainyard.adapter.rank"));
}
