//! What a tenant sees and sets of a content's budget, and what outlives the file.

use serde_json::json;
use trainyard_openapi::erasure::KeptKind;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::FileId;
use trainyard_scheduler::port::document::Kind;

use super::{eight, lines, look, reserve, set_budget, submit};
use crate::world::{World, code, refusal};

#[tokio::test]
async fn a_file_that_is_uploaded_again_has_spent_what_it_had() {
    let mut world = World::on_disk(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    set_budget(&world, &file, json!({"budget": {"epsilon": 20}})).await.unwrap();
    submit(&world, &file, eight()).await.unwrap();
    let run = world.started().await;
    reserve(&run, &world, 0, 10).await.unwrap();
    run.complete().await.unwrap();
    let before = look(&world, &file).await;
    assert!(before.spent_epsilon > 1.0);
    world.scheduler.delete_file(&world.ctx, &file).await.unwrap();
    assert_eq!(
        code(world.scheduler.file_privacy(&world.ctx, &file).await),
        ErrorCode::FileNotFound
    );
    world = world.reopened().await;
    let again = world.upload(&world.ctx, &lines("a")).await;
    let mut now = look(&world, &again).await;
    assert_eq!(now.file, again);
    now.file = file.clone();
    assert_eq!(now, before);
    // Erasing it with all that was made of it leaves the ledger too.
    let erased = world.scheduler.erase_file(&world.ctx, &again).await.unwrap();
    let kept = erased.trainyard.erasure.unwrap().kept;
    assert!(kept.iter().any(|kept| kept.kind == KeptKind::PrivacyLedger), "{kept:?}");
    let third = world.upload(&world.ctx, &lines("a")).await;
    assert_eq!(look(&world, &third).await.spent_epsilon, before.spent_epsilon);
}

#[tokio::test]
async fn a_ledger_goes_with_its_tenant() {
    let world = World::new(1).await;
    let gone = world.stranger().await;
    let file = world.upload(&gone, &lines("a")).await;
    let new = serde_json::from_value(json!({"budget": {"epsilon": 2}})).unwrap();
    world.scheduler.set_privacy_budget(&gone, &file, &new).await.unwrap();
    assert_eq!(world.store.document_count(Kind::PrivacyLedger).await.unwrap(), 1);
    world.scheduler.delete_tenant(&world.ctx, gone.tenant(), true).await.unwrap();
    assert_eq!(world.store.document_count(Kind::PrivacyLedger).await.unwrap(), 0);
}

#[tokio::test]
async fn budgets_are_held_to_their_limits_and_audited() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    let untouched = look(&world, &file).await;
    assert_eq!((untouched.spent_epsilon, untouched.units, untouched.budget), (0.0, None, None));
    for (budget, param) in [
        (json!({"budget": {"epsilon": 0.0}}), "budget.epsilon"),
        (json!({"budget": {"epsilon": 1001.0}}), "budget.epsilon"),
        (json!({"budget": {"epsilon": 1.0, "delta": 0.06}}), "budget.delta"),
        (json!({"budget": {"epsilon": 1.0, "delta": 0.0}}), "budget.delta"),
        (
            json!({"budget": {"epsilon": 1.0}, "unit": {"user_field": "text", "examples_per_unit": 1}}),
            "unit.user_field",
        ),
    ] {
        let error = refusal(set_budget(&world, &file, budget.clone()).await);
        assert_eq!(error.param.as_deref(), Some(param), "{budget}: {}", error.message);
        assert_eq!(error.code, ErrorCode::InvalidValue);
    }
    let few = world.upload(&world.ctx, crate::world::LINES).await;
    let error = refusal(set_budget(&world, &few, json!({"budget": {"epsilon": 1}})).await);
    assert_eq!(error.param.as_deref(), Some("unit"));
    assert!(error.message.contains("got 3"), "{}", error.message);
    assert_eq!(look(&world, &file).await, untouched);

    let set = set_budget(&world, &file, json!({"budget": {"epsilon": 4}})).await.unwrap();
    assert_eq!((set.units, set.remaining_epsilon), (Some(20), Some(4.0)));
    let delta = set.budget.unwrap().delta;
    assert!((delta - 20_f64.powf(-1.1)).abs() < 1e-12);
    // Again, and then another one.
    set_budget(&world, &file, json!({"budget": {"epsilon": 4}})).await.unwrap();
    let new = json!({"budget": {"epsilon": 5, "delta": 0.001}});
    set_budget(&world, &file, new).await.unwrap();
    let log = world.scheduler.audit_log(&world.ctx, world.ctx.tenant(), 0, 100).await.unwrap().data;
    let told: Vec<_> =
        log.iter().filter(|event| event.action == "file.privacy_budget_set").collect();
    assert_eq!(told.len(), 2, "a repeat changes nothing");
    assert_eq!(told[0].target, file.to_string());
    assert_eq!(told[1].detail["before"], json!({"epsilon": 4.0, "delta": delta}));
    assert_eq!(told[1].detail["budget"], json!({"epsilon": 5.0, "delta": 0.001}));
    let nobody: FileId = "file-000000000000000000000000".parse().unwrap();
    let nothing = set_budget(&world, &nobody, json!({"budget": {"epsilon": 1}})).await;
    assert_eq!(code(nothing), ErrorCode::FileNotFound);
}
