//! Create requests and files whose privacy is kept.

use serde_json::{Value, json};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::FileId;

use super::{eight, lines, look, private, reserve, set_budget, submit};
use crate::world::{World, refusal, request};

async fn create(world: &World, body: Value) -> Result<(), trainyard_openapi::error::ApiError> {
    let file: FileId = body["training_file"].as_str().unwrap().parse().unwrap();
    let made = world.scheduler.submit(&world.ctx, request(&file, body), None).await;
    made.map(|_| ()).map_err(|error| error.to_api())
}

#[track_caller]
fn refused(
    made: Result<(), trainyard_openapi::error::ApiError>,
    code: ErrorCode,
    param: &str,
) -> String {
    let error = made.unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (code, Some(param)), "{}", error.message);
    error.message
}

#[tokio::test]
async fn files_whose_privacy_is_kept_are_not_read_without_it() {
    let world = World::new(1).await;
    let secret = world.upload(&world.ctx, &lines("secret")).await;
    let copy = world.upload(&world.ctx, &lines("secret")).await;
    let public = world.upload(&world.ctx, &lines("public")).await;
    let plain = |file: &FileId| json!({"training_file": file});
    let measured = |mut body: Value, file: &FileId| {
        body["validation_file"] = json!(file);
        body
    };
    // A private job never measures on its own content, under whatever name.
    let own = create(&world, measured(private(&secret, eight()), &copy)).await;
    assert!(refused(own, ErrorCode::InvalidFile, "validation_file").contains("training file"));
    create(&world, measured(private(&secret, eight()), &public)).await.unwrap();
    // Nor on what another private job trains on.
    let other = create(&world, measured(private(&public, eight()), &copy)).await;
    refused(other, ErrorCode::InvalidFile, "validation_file");
    // As long as nobody set a budget, other jobs may read it.
    create(&world, plain(&copy)).await.unwrap();
    set_budget(&world, &secret, json!({"budget": {"epsilon": 9}})).await.unwrap();
    let said = refused(create(&world, plain(&copy)).await, ErrorCode::InvalidFile, "training_file");
    assert!(said.contains("must set 'trainyard.privacy'"), "{said}");
    let said = create(&world, measured(plain(&public), &copy)).await;
    refused(said, ErrorCode::InvalidFile, "validation_file");
    create(&world, private(&copy, eight())).await.unwrap();
    // Another tenant's file of the same content has nothing to do with it.
    let stranger = world.stranger().await;
    let theirs = world.upload(&stranger, &lines("secret")).await;
    let request = request(&theirs, json!({}));
    world.scheduler.submit(&stranger, request, None).await.unwrap();
    let none = world.scheduler.file_privacy(&stranger, &theirs).await.unwrap();
    assert_eq!((none.units, none.jobs.len()), (None, 0));
}

#[tokio::test]
async fn a_job_that_does_not_fit_is_told_what_remains() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    set_budget(&world, &file, json!({"budget": {"epsilon": 9.0, "delta": 0.01}})).await.unwrap();
    submit(&world, &file, eight()).await.unwrap();
    let run = world.started().await;
    reserve(&run, &world, 0, 10).await.unwrap();
    let spent = look(&world, &file).await.spent_epsilon;
    let error = refusal(submit(&world, &file, eight()).await);
    assert_eq!(error.code, ErrorCode::PrivacyBudgetExceeded);
    assert_eq!(error.param.as_deref(), Some("trainyard.privacy.target_epsilon"));
    for said in [
        "budget is epsilon 9 at delta 1.00e-2".to_string(),
        format!("{spent:.4} is spent"),
        format!("{:.4} remains", 9.0 - spent),
        "of the job's 10 steps".to_string(),
    ] {
        assert!(error.message.contains(&said), "{said}: {}", error.message);
    }
    // It was only looked at, and a smaller one fits.
    assert_eq!(look(&world, &file).await.jobs.len(), 1);
    let small = json!({"target_epsilon": 0.5, "accountant": "rdp"});
    submit(&world, &file, small).await.unwrap();
    // A dry run says so instead of refusing.
    let dry = request(&file, private(&file, eight()));
    let preflight = world.scheduler.preflight(&world.ctx, &dry);
    let preflight = preflight.await.unwrap();
    let forecast = preflight.privacy.unwrap();
    assert!(!forecast.fits && !preflight.valid);
    assert_eq!(forecast.spent_before, spent);
    assert_eq!(forecast.budget.unwrap().epsilon, 9.0);
    assert!((forecast.remaining.unwrap() - (9.0 - spent)).abs() < 1e-12);
}

#[tokio::test]
async fn a_dry_run_forecasts_and_keeps_nothing() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    let dry = request(&file, private(&file, eight()));
    let preflight = world.scheduler.preflight(&world.ctx, &dry);
    let preflight = preflight.await.unwrap();
    assert_eq!((preflight.valid, preflight.total_steps), (true, 10));
    let forecast = preflight.privacy.unwrap();
    assert!(forecast.fits && forecast.spent_before == 0.0 && forecast.budget.is_none());
    let steps: Vec<u64> = forecast.forecast.iter().map(|point| point.step).collect();
    assert_eq!(steps, (1..=10).collect::<Vec<_>>());
    assert!(forecast.forecast.is_sorted_by(|a, b| a.epsilon < b.epsilon));
    let expected = preflight.trainyard.privacy.unwrap().expected_epsilon;
    assert!((forecast.forecast[9].epsilon - expected).abs() < 1e-9);
    assert!(!forecast.not_covered.is_empty());
    assert_eq!(look(&world, &file).await.units, None, "no ledger was opened");
    let plain = world.scheduler.preflight(&world.ctx, &request(&file, json!({}))).await.unwrap();
    assert!(plain.privacy.is_none() && plain.trainyard.privacy.is_none());
}

/// Twelve users with two lines each, named under `author`.
fn by_author() -> String {
    let line = |number: usize| match number % 2 {
        0 => format!("{{\"author\": \"u{}\", \"text\": \"line {number}\"}}\n", number / 2),
        _ => format!("{{\"text\": \"line {number}\", \"author\": \"u{}\"}}\n", number / 2),
    };
    (0..24).map(line).collect()
}

#[tokio::test]
async fn users_are_counted_and_a_content_protects_one_kind_of_unit() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &by_author()).await;
    let by = |field: &str| json!({"target_epsilon": 8.0, "accountant": "rdp", "unit": {"user_field": field, "examples_per_unit": 2}});
    // The lines have a key that belongs to no data, so without users they are wrong.
    let missing = refused(
        create(&world, private(&file, by("writer"))).await,
        ErrorCode::InvalidFile,
        "training_file",
    );
    assert!(missing.contains("line 1: writer: is missing"), "{missing}");
    refused(
        create(&world, private(&file, by("text"))).await,
        ErrorCode::InvalidValue,
        "trainyard.privacy.unit.user_field",
    );
    let id = submit(&world, &file, by("author")).await.unwrap();
    let plan = world.record(&id).await.plan.privacy.unwrap();
    assert_eq!((plan.population.units(), plan.phase.steps()), (12, 6));
    let run = world.started().await;
    assert_eq!(run.lease().job, id, "the lines passed validation");
    assert_eq!(reserve(&run, &world, 0, 6).await.unwrap().until, 6);
    let shown = look(&world, &file).await;
    assert_eq!(shown.units, Some(12));
    assert_eq!(serde_json::to_value(&shown.unit).unwrap()["user_field"], "author");

    let example = refusal(submit(&world, &file, eight()).await);
    assert_eq!(example.param.as_deref(), Some("trainyard.privacy.unit"));
    assert!(example.message.contains("'user'") && example.message.contains("'example'"));
    let unit = json!({"budget": {"epsilon": 8}, "unit": "example"});
    assert_eq!(refusal(set_budget(&world, &file, unit).await).param.as_deref(), Some("unit"));
    set_budget(&world, &file, json!({"budget": {"epsilon": 20}})).await.unwrap();
}
