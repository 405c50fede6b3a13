//! A file is erased with all that came of it: what went on from its models too.

use serde_json::json;
use trainyard_openapi::erasure::{ErasureStatus, RemovedKind};
use trainyard_openapi::error::ErrorCode;

use super::{Stream, file, made, submit};
use crate::world::{World, code};

#[tokio::test]
async fn a_file_goes_with_the_models_that_went_on_from_what_came_of_it() {
    let world = World::new(1).await;
    let stream = Stream::of(&world, "x").await;
    let (first, model) = made(&world, &stream.training[0], stream.extra(json!({}))).await;
    let (second, heir) = made(&world, &file(&world, "y").await, json!({"model": model})).await;
    let (third, last) = made(&world, &file(&world, "z").await, json!({"model": heir})).await;
    let (aside, other) = made(&world, &file(&world, "w").await, json!({})).await;

    // The second stage's file: no job has it as its own training file.
    let answer = world.scheduler.erase_file(&world.ctx, &stream.training[1]).await.unwrap();
    let receipt = answer.trainyard.erasure.unwrap();
    assert_eq!(receipt.status, ErasureStatus::Completed);
    let of = receipt.removed.iter().filter(|gone| gone.kind == RemovedKind::Model);
    let mut gone: Vec<_> = of.filter_map(|gone| gone.id.clone()).collect();
    let mut expected = vec![model, heir, last];
    gone.sort();
    expected.sort();
    assert_eq!(gone, expected);
    for job in [&first, &second, &third] {
        assert!(world.record(job).await.erased.is_some());
        assert_eq!(world.objects.list(&format!("jobs/{job}")).await.unwrap(), Vec::<String>::new());
    }
    assert!(world.record(&aside).await.erased.is_none());
    world.scheduler.model(&world.ctx, &other).await.unwrap();
}

#[tokio::test]
async fn nothing_is_erased_under_a_job_that_goes_on_from_it() {
    let world = World::new(1).await;
    let read = file(&world, "x").await;
    let (_, model) = made(&world, &read, json!({})).await;
    let live = submit(&world, &file(&world, "y").await, json!({"model": model})).await.unwrap();
    assert_eq!(code(world.scheduler.erase_file(&world.ctx, &read).await), ErrorCode::InUse);
    world.scheduler.cancel(&world.ctx, &live).await.unwrap();
    world.scheduler.erase_file(&world.ctx, &read).await.unwrap();
    assert!(world.record(&live).await.erased.is_some());
}
