//! Whose turn it is, who makes room and when a job starts, through the scheduler.

use std::collections::BTreeMap;

use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::Progress;
use trainyard_openapi::id::{JobId, TenantId};
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::tenant::{CreateTenant, UpdateTenant};
use trainyard_scheduler::port::control_plane::{ControlPlane, Directive, ReleaseReason};
use trainyard_scheduler::port::document::Kind;
use trainyard_scheduler::{Devices, SchedulerConfig, TenantContext};

use crate::world::{LINES, Run, World, config, progress, refusal, request};

async fn weigh(world: &World, tenant: &TenantId, weight: u32) {
    let operator = world.stranger().await;
    let update = UpdateTenant { weight: Some(weight), ..UpdateTenant::default() };
    world.scheduler.update_tenant(&operator, tenant, &update).await.unwrap();
}

/// Many jobs on one file.
async fn flood(world: &World, ctx: &TenantContext, jobs: usize) {
    let file = world.upload(ctx, LINES).await;
    for _ in 0..jobs {
        world.scheduler.submit(ctx, request(&file, json!({})), None).await.unwrap();
    }
}

/// Takes every ticket that waits.
async fn claimed(world: &World) -> Vec<Run> {
    world.tick().await;
    let mut runs = Vec::new();
    while let Some(ticket) = world.ticket().await {
        runs.push(world.claim(&ticket).await.unwrap());
    }
    runs
}

async fn used_seconds(world: &World, tenant: &TenantId) -> f64 {
    let days = world.store.usage(tenant, 0, 100_000).await.unwrap();
    days.iter().map(|day| day.accelerator_ms).sum::<u64>() as f64 / 1000.0
}

async fn resources(world: &World, ctx: &TenantContext, resources: serde_json::Value) -> JobId {
    world.submit_for(ctx, json!({"trainyard": {"resources": resources}})).await
}

fn quick() -> SchedulerConfig {
    SchedulerConfig { preemption_min_run_seconds: 60, ..config(1) }
}

#[tokio::test]
async fn tenants_get_devices_by_weight_however_many_jobs_they_submit() {
    let mut world = World::with(SchedulerConfig { preemption: false, ..config(2) }).await;
    world.patience = std::time::Duration::from_millis(5);
    let tenants = [world.stranger().await, world.stranger().await, world.stranger().await];
    for (ctx, (weight, jobs)) in tenants.iter().zip([(1, 150), (2, 40), (4, 60)]) {
        weigh(&world, ctx.tenant(), weight).await;
        flood(&world, ctx, jobs).await;
    }
    let mut running = claimed(&world).await;
    for turn in 0..84 {
        world.clock.advance_seconds(40 + turn % 20);
        for run in &running {
            run.beat(1).await.unwrap();
        }
        // One after the other comes to its end.
        running.remove(0).complete().await.unwrap();
        running.extend(claimed(&world).await);
        assert_eq!(running.len(), 2, "no slot is left free");
    }
    let mut used = Vec::new();
    for ctx in &tenants {
        used.push(used_seconds(&world, ctx.tenant()).await);
    }
    let all: f64 = used.iter().sum();
    println!("accelerator-seconds by weight 1:2:4: {used:?}");
    for (used, weight) in used.iter().zip([1.0, 2.0, 4.0]) {
        let ideal = all * weight / 7.0;
        assert!((used - ideal).abs() <= 2.0 * 59.0, "{used} s, ideal {ideal} s");
    }
    // Who comes anew is next.
    let new = world.stranger().await;
    flood(&world, &new, 1).await;
    running.remove(0).complete().await.unwrap();
    let next = claimed(&world).await.remove(0);
    assert_eq!(world.record(&next.lease().job).await.tenant, *new.tenant());
}

#[tokio::test]
async fn a_higher_priority_takes_the_place_of_a_lower_one_after_its_checkpoint() {
    let world = World::with(quick()).await;
    let low = resources(&world, &world.ctx, json!({"priority": "low"})).await;
    let run = world.started().await;
    let high = resources(&world, &world.ctx, json!({"priority": "high"})).await;
    world.pass(30).await;
    assert_eq!(run.beat(1).await.unwrap(), Directive::Continue, "it has just begun");
    world.pass(31).await;
    assert_eq!(run.beat(2).await.unwrap(), Directive::Preempt);
    run.checkpoint(2).await.unwrap();
    world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
    let first = world.started().await;
    assert_eq!(first.lease().job, high);
    assert_eq!(world.record(&low).await.attempts.preempted, 1);
    assert!(world.messages(&low).await.iter().any(|text| text.starts_with("The job makes room")));
    let told = world.messages(&high).await;
    assert!(told.iter().any(|text| text.starts_with("A running job makes room")), "{told:?}");
    world.pass(3600).await;
    assert!(first.beat(3).await.is_err(), "its lease has expired");
}

#[tokio::test]
async fn nobody_makes_room_who_may_not_or_where_it_is_switched_off() {
    let off = SchedulerConfig { preemption: false, ..quick() };
    let kept = json!({"priority": "low", "preemptible": false});
    for (config, resources_of_low) in [(off, json!({"priority": "low"})), (quick(), kept)] {
        let world = World::with(config).await;
        resources(&world, &world.ctx, resources_of_low).await;
        let run = world.started().await;
        resources(&world, &world.ctx, json!({"priority": "high"})).await;
        for _ in 0..3 {
            world.pass(40).await;
            assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
        }
        // Another tenant's priority is nothing to this one's job.
        let stranger = world.stranger().await;
        resources(&world, &stranger, json!({"priority": "high"})).await;
        world.pass(40).await;
        assert_eq!(run.beat(2).await.unwrap(), Directive::Continue);
    }
}

#[tokio::test]
async fn a_job_that_made_room_often_enough_is_left_alone() {
    let world = World::with(quick()).await;
    let low = resources(&world, &world.ctx, json!({"priority": "low"})).await;
    for round in 0..2 {
        let run = world.started().await;
        assert_eq!(run.lease().job, low);
        let high = resources(&world, &world.ctx, json!({"priority": "high"})).await;
        world.pass(40).await;
        run.beat(1).await.unwrap();
        world.pass(40).await;
        let directive = run.beat(2).await.unwrap();
        if round == 1 {
            // One attempt of it may give way, and did.
            assert_eq!(directive, Directive::Continue);
            run.complete().await.unwrap();
            assert_eq!(world.status(&low).await, JobStatus::Succeeded);
            return;
        }
        assert_eq!(directive, Directive::Preempt);
        world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
        let first = world.started().await;
        assert_eq!(first.lease().job, high);
        first.complete().await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_that_holds_every_device_makes_room_for_another() {
    let world =
        World::with(SchedulerConfig { devices: Devices::of("default", 4), ..quick() }).await;
    flood(&world, &world.ctx, 8).await;
    let running = claimed(&world).await;
    assert_eq!(running.len(), 4);
    let stranger = world.stranger().await;
    flood(&world, &stranger, 4).await;
    world.clock.advance_seconds(50);
    // Each has hours before it.
    let hours = Progress { eta_seconds: Some(10_000.0), ..progress(1) };
    for run in &running {
        world.scheduler.heartbeat(run.lease(), &hours).await.unwrap();
    }
    world.pass(11).await;
    let mut asked = Vec::new();
    for run in &running {
        let directive = world.scheduler.heartbeat(run.lease(), &hours).await.unwrap();
        if directive == Directive::Preempt {
            asked.push(run.clone());
        }
    }
    assert_eq!(asked.len(), 2, "each has half");
    for run in &asked {
        world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
    }
    let next = claimed(&world).await;
    assert_eq!(next.len(), 2);
    for run in &next {
        assert_eq!(world.record(&run.lease().job).await.tenant, *stranger.tenant());
    }
    for _ in 0..4 {
        world.clock.advance_seconds(30);
        for run in running.iter().filter(|run| !asked.iter().any(|one| one.lease() == run.lease()))
        {
            assert_eq!(run.beat(3).await.unwrap(), Directive::Continue);
        }
        for run in &next {
            assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
        }
        world.tick().await;
    }
}

#[tokio::test]
async fn a_waiting_job_tells_when_it_likely_starts() {
    let world = World::new(1).await;
    world.submit().await;
    let run = world.started().await;
    let second = world.submit().await;
    let third = world.submit().await;
    world.tick().await;
    let start = async |id: &JobId| world.job(id).await.trainyard.progress.estimated_start_at;
    assert_eq!(start(&second).await, None, "the run has said nothing and none has ended before it");
    world.clock.advance_seconds(10);
    run.beat(1).await.unwrap();
    world.pass(2).await;
    // The run said 7 s, 2 s ago; nobody knows for how long the second will run.
    assert_eq!(start(&second).await, Some(world.now_ms() / 1000 + 5));
    assert_eq!(start(&third).await, None);
    world.clock.advance_seconds(8);
    run.complete().await.unwrap();
    let run = world.started().await;
    world.clock.advance_seconds(1);
    run.beat(1).await.unwrap();
    world.tick().await;
    // Jobs have run for 20 s before: the mean of those that ended, with what runs now.
    let last = world.submit().await;
    world.tick().await;
    let now = world.now_ms() / 1000;
    assert_eq!(start(&third).await, Some(now + 7));
    assert_eq!(start(&last).await, Some(now + 7 + 21));
    let request = world.request(&world.ctx, json!({})).await;
    let place = world.scheduler.preflight(&world.ctx, &request).await.unwrap().queue;
    assert_eq!((place.position, place.estimated_start_at), (3, Some(now + 7 + 42)));
}

#[tokio::test]
async fn a_pool_without_devices_holds_up_its_own_jobs_alone() {
    let pools = BTreeMap::from([("default".to_string(), 1), ("gpu".to_string(), 0)]);
    let world = World::with(SchedulerConfig { devices: Devices::Fixed(pools), ..quick() }).await;
    let away = resources(&world, &world.ctx, json!({"pool": "gpu"})).await;
    world.pass(1).await;
    let here = world.submit().await;
    assert_eq!(world.started().await.lease().job, here);
    let progress = world.job(&away).await.trainyard.progress;
    let reason = "pool 'gpu' has no devices: no executor serves it now";
    assert_eq!(progress.waiting_reason.as_deref(), Some(reason));
    assert_eq!((progress.queue_position, progress.estimated_start_at), (Some(1), None));
    world.pass(1).await;
    world.pass(1).await;
    let documents = world.store.document_count(Kind::Waiting).await.unwrap();
    assert_eq!(documents, 0, "where there are no devices there are no turns to take");
    let extra = json!({"trainyard": {"resources": {"pool": "gpu"}}});
    let request = world.request(&world.ctx, extra).await;
    let place = world.scheduler.preflight(&world.ctx, &request).await.unwrap().queue;
    assert_eq!(place.waiting_reason.as_deref(), Some(reason));
}

#[tokio::test]
async fn a_ticket_for_a_pool_that_nobody_serves_any_more_is_withdrawn() {
    let mut world = World::new(1).await;
    let id = world.submit().await;
    world.tick().await;
    assert!(world.ticket().await.is_some());
    world.config.devices = Devices::of("default", 0);
    world.forget_process();
    world.pass(61).await;
    let progress = world.job(&id).await.trainyard.progress;
    let reason = "pool 'default' has no devices: no executor serves it now";
    assert_eq!(progress.waiting_reason.as_deref(), Some(reason));
    world.config.devices = Devices::of("default", 1);
    world.forget_process();
    assert_eq!(world.started().await.lease().job, id);
}

#[tokio::test]
async fn who_waits_is_written_down_while_there_are_turns_to_take() {
    let world = World::new(1).await;
    let documents = async || world.store.document_count(Kind::Waiting).await.unwrap();
    world.submit().await;
    let run = world.started().await;
    assert_eq!(documents().await, 0, "one job and one slot");
    world.submit().await;
    let second = world.submit().await;
    world.tick().await;
    run.complete().await.unwrap();
    let run = world.started().await;
    assert_eq!(documents().await, 1);
    run.complete().await.unwrap();
    let run = world.started().await;
    assert_eq!((run.lease().job.clone(), documents().await), (second, 0));
}

#[tokio::test]
async fn weights_are_from_1_to_1000() {
    let world = World::new(1).await;
    let operator = world.stranger().await;
    let new = |weight| CreateTenant { name: "lab".into(), quota: Default::default(), weight };
    let made = world.scheduler.create_tenant(&operator, &new(3)).await.unwrap();
    assert_eq!(made.weight, 3);
    for weight in [0, 1001] {
        let error = refusal(world.scheduler.create_tenant(&operator, &new(weight)).await);
        let expected = format!("'weight' must be between 1 and 1000, not {weight}");
        assert_eq!((error.code, error.message), (ErrorCode::InvalidValue, expected));
        let update = UpdateTenant { weight: Some(weight), ..UpdateTenant::default() };
        refusal(world.scheduler.update_tenant(&operator, &made.id, &update).await);
    }
    assert_eq!(world.scheduler.tenant(&operator, &made.id).await.unwrap().weight, 3);
}
