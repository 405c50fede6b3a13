//! Steps are charged before they run: as many as fit, once, to the run that holds the job.

use serde_json::json;
use trainyard_openapi::file_privacy::FilePrivacyState;
use trainyard_scheduler::port::control_plane::ControlPlane;

use super::{eight, lines, look, private, reserve, set_budget, submit};
use crate::world::{World, fenced, refused, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nothing_interrupts_is_given_all_its_steps() {
    for (privacy, batch_size, epochs) in [
        (json!({"target_epsilon": 0.5, "accountant": "rdp"}), 1, 7),
        (json!({"target_epsilon": 8.0, "accountant": "rdp", "delta": 1e-6}), 20, 3),
        (json!({"target_epsilon": 0.5}), 5, 50),
        (json!({"target_epsilon": 3.0}), 1, 50),
        (json!({"target_epsilon": 100.0}), 19, 2),
        (json!({"noise_multiplier": 0.7}), 3, 4),
        (json!({"noise_multiplier": 2.0, "accountant": "rdp"}), 3, 4),
    ] {
        let world = World::new(1).await;
        let file = world.upload(&world.ctx, &lines("a")).await;
        let mut body = private(&file, privacy.clone());
        let hyper = &mut body["method"]["supervised"]["hyperparameters"];
        *hyper = json!({"batch_size": batch_size, "n_epochs": epochs});
        let job = world.scheduler.submit(&world.ctx, request(&file, body), None).await.unwrap();
        let run = world.started().await;
        let plan = run.claim.plan.privacy.clone().unwrap();
        let steps = plan.phase.steps();
        for until in [1, steps / 3, steps / 2, steps - 1, steps] {
            let given = reserve(&run, &world, 0, until).await.unwrap();
            assert_eq!((given.until, given.spent.steps), (until, until), "{privacy}");
            assert!(given.spent.epsilon <= plan.limit.epsilon(), "{privacy}: {given:?}");
        }
        let shown = world.job(&job.id).await.trainyard.progress.privacy.unwrap();
        assert_eq!(shown.epsilon.to_bits(), plan.expected_epsilon.to_bits(), "{privacy}");
        let beyond = refused(reserve(&run, &world, 0, steps + 1).await);
        assert!(beyond.contains(&format!("not {}", steps + 1)), "{beyond}");
    }
}

#[tokio::test]
async fn a_repeated_call_charges_nothing_and_another_one_is_refused() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    submit(&world, &file, eight()).await.unwrap();
    let run = world.started().await;
    let first = reserve(&run, &world, 0, 4).await.unwrap();
    let before = look(&world, &file).await;
    // Its answer was lost; and one of before that was long on its way.
    assert_eq!(reserve(&run, &world, 0, 4).await.unwrap(), first);
    assert_eq!(reserve(&run, &world, 0, 2).await.unwrap(), first);
    assert_eq!(look(&world, &file).await, before);
    assert_eq!((before.jobs.len(), before.jobs[0].steps_charged), (1, 4));
    for (from, until, said) in
        [(1, 5, "'from' must be 0"), (5, 4, "not 4"), (0, 11, "the plan's 10 steps, not 11")]
    {
        let reason = refused(reserve(&run, &world, from, until).await);
        assert!(reason.contains(said), "{reason}");
    }
    assert_eq!(look(&world, &file).await, before);
    // What the executor says of spending in its progress is not taken.
    let mut progress = crate::world::progress(1);
    progress.privacy =
        Some(trainyard_openapi::extension::PrivacySpent { epsilon: 0.0, delta: 0.5, steps: 0 });
    world.scheduler.heartbeat(run.lease(), &progress).await.unwrap();
    let shown = world.record(&run.lease().job).await.progress;
    assert_eq!((shown.step, shown.privacy), (1, Some(first.spent)));
}

#[tokio::test]
async fn a_job_without_privacy_has_nothing_to_charge() {
    let world = World::new(1).await;
    world.submit().await;
    let run = world.started().await;
    assert!(refused(reserve(&run, &world, 0, 1).await).contains("is not private"));
    assert!(refused(world.scheduler.settle_steps(run.lease(), 0).await).contains("is not private"));
    run.checkpoint(5).await.unwrap();
    run.complete().await.unwrap();
}

#[tokio::test]
async fn a_run_that_died_is_charged_for_all_that_it_reserved() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    let id = submit(&world, &file, eight()).await.unwrap();
    let dead = world.started().await;
    reserve(&dead, &world, 0, 6).await.unwrap();
    dead.checkpoint(4).await.unwrap();
    // Its executor is lost: steps 5 and 6 may have run, and somebody may have seen what came of them.
    world.pass(60 + 15 + 1).await;
    let charged = look(&world, &file).await;
    assert_eq!(charged.jobs[0].state, FilePrivacyState::Crashed);
    assert_eq!((charged.jobs[0].steps_committed, charged.jobs[0].steps_charged), (4, 6));

    let next = world.started().await;
    let early = refused(reserve(&next, &world, 5, 10).await);
    assert!(early.contains("at most 4, the step of the job's checkpoint"), "{early}");
    // Ten steps fit the job's limit, of which six are spent: four of the six that are left to do.
    let given = reserve(&next, &world, 4, 10).await.unwrap();
    assert_eq!((given.until, given.spent.steps), (8, 10));
    let plan = next.claim.plan.privacy.clone().unwrap();
    assert!(given.spent.epsilon <= plan.limit.epsilon(), "{given:?}");
    // Asking again gives no more.
    assert_eq!(reserve(&next, &world, 4, 10).await.unwrap(), given);
    let shown = world.job(&id).await.trainyard.progress.privacy.unwrap();
    assert_eq!(shown, given.spent);

    // The zombie wakes.
    let before = look(&world, &file).await;
    fenced(reserve(&dead, &world, 0, 10).await);
    fenced(world.scheduler.settle_steps(dead.lease(), 4).await);
    fenced(dead.checkpoint(5).await);
    assert_eq!(look(&world, &file).await, before);
}

#[tokio::test]
async fn where_all_is_reserved_the_next_run_is_given_nothing_and_can_still_end() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    submit(&world, &file, eight()).await.unwrap();
    let dead = world.started().await;
    reserve(&dead, &world, 0, 10).await.unwrap();
    dead.checkpoint(7).await.unwrap();
    world.pass(60 + 15 + 1).await;
    let next = world.started().await;
    let given = reserve(&next, &world, 7, 10).await.unwrap();
    assert_eq!((given.until, given.spent.steps), (7, 10));
    // It may hand over what the checkpoint carries, and no more.
    assert_eq!(world.scheduler.settle_steps(next.lease(), 7).await.unwrap(), given.spent);
    let beyond = refused(world.scheduler.settle_steps(next.lease(), 8).await);
    assert!(beyond.contains("step 8") && beyond.contains("step 7"), "{beyond}");
    assert_eq!(look(&world, &file).await.jobs.len(), 1, "it reserved nothing");
}

#[tokio::test]
async fn two_jobs_share_the_budget_of_their_file() {
    let world = World::new(2).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    // Two jobs of epsilon 8 do not fit together; each alone does. Both are taken, as neither has begun.
    submit(&world, &file, eight()).await.unwrap();
    set_budget(&world, &file, json!({"budget": {"epsilon": 10.0}})).await.unwrap();
    submit(&world, &file, eight()).await.unwrap();
    let one = world.started().await;
    let two = world.claim(&world.ticket().await.unwrap()).await.unwrap();
    assert_eq!(reserve(&one, &world, 0, 10).await.unwrap().until, 10);
    let given = reserve(&two, &world, 0, 10).await.unwrap();
    assert!((1..10).contains(&given.until), "{given:?}");
    let now = look(&world, &file).await;
    assert!(now.spent_epsilon <= 10.0 && now.remaining_epsilon.unwrap() < 1.5, "{now:?}");
    assert_eq!((now.jobs.len(), now.jobs[1].steps_charged), (2, given.until));
    // The first gives back what it did not use; then there is room again.
    world.scheduler.settle_steps(one.lease(), 3).await.unwrap();
    let more = reserve(&two, &world, 0, 10).await.unwrap();
    assert!(more.until > given.until, "{given:?} {more:?}");
    // A budget below what is spent takes nothing back.
    set_budget(&world, &file, json!({"budget": {"epsilon": 0.01}})).await.unwrap();
    assert_eq!(reserve(&two, &world, 0, 10).await.unwrap(), more);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_reserve_at_once_never_pass_the_budget() {
    let world = World::new(8).await;
    let file = world.upload(&world.ctx, &lines("a")).await;
    set_budget(&world, &file, json!({"budget": {"epsilon": 12.0}})).await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..8 {
        submit(&world, &file, eight()).await.unwrap();
    }
    world.tick().await;
    while let Some(ticket) = world.ticket().await {
        runs.push(world.claim(&ticket).await.unwrap());
    }
    assert_eq!(runs.len(), 8);
    let asked = runs.iter().map(|run| {
        let (scheduler, lease) = (world.scheduler.clone(), run.lease().clone());
        tokio::spawn(async move {
            let mut given = 0;
            for until in 1..=10 {
                given = scheduler.reserve_steps(&lease, 0, until).await.unwrap().until;
            }
            given
        })
    });
    let given: Vec<u64> =
        futures::future::join_all(asked).await.into_iter().map(|given| given.unwrap()).collect();
    let now = look(&world, &file).await;
    assert!(now.spent_epsilon <= 12.0, "{now:?}");
    let charged: u64 = now.jobs.iter().map(|run| run.steps_charged).sum();
    assert_eq!(charged, given.iter().sum::<u64>(), "what was given is what is charged");
}

#[tokio::test]
async fn what_a_file_is_charged_is_counted() {
    let world = World::new(1).await;
    let registry = prometheus::Registry::new();
    world.scheduler.metrics().register_calls(&registry).unwrap();
    let charged = || {
        let families = registry.gather();
        let name = "trainyard_privacy_epsilon_charged_total";
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family.get_metric().iter().map(|series| series.get_counter().get_value()).sum::<f64>()
    };
    let file = world.upload(&world.ctx, &lines("a")).await;
    submit(&world, &file, eight()).await.unwrap();
    let run = world.started().await;
    assert_eq!(charged(), 0.0);
    for until in [3, 3, 10] {
        let given = reserve(&run, &world, 0, until).await.unwrap();
        let difference = (charged() - given.spent.epsilon).abs();
        assert!(difference < 1e-9, "{} {given:?}", charged());
    }
    world.scheduler.settle_steps(run.lease(), 4).await.unwrap();
    assert!(charged() > 7.0, "it counts what was charged, and never falls");
}
