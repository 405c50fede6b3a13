//! Checkpoints, results and other ends of private runs.

use trainyard_openapi::file_privacy::FilePrivacyState;
use trainyard_openapi::id::FileId;
use trainyard_openapi::job::{JobError, JobStatus};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_scheduler::port::control_plane::{ControlPlane, ReleaseReason};

use super::{eight, lines, look, reserve, submit};
use crate::world::{Run, World, refused};

async fn begun(world: &World) -> (FileId, Run) {
    let file = world.upload(&world.ctx, &lines("a")).await;
    submit(world, &file, eight()).await.unwrap();
    (file, world.started().await)
}

#[tokio::test]
async fn a_checkpoint_and_a_result_carry_only_what_was_reserved() {
    let world = World::new(1).await;
    let (file, run) = begun(&world).await;
    let none = refused(run.checkpoint(1).await);
    assert!(none.contains("step 1 was not reserved"), "{none}");
    reserve(&run, &world, 0, 5).await.unwrap();
    let beyond = refused(run.checkpoint(6).await);
    assert!(beyond.contains("step 6 was not reserved: the run holds steps 0 to 5"), "{beyond}");
    assert_eq!(world.record(&run.lease().job).await.checkpoint, None);
    let pointer = run.checkpoint(5).await.unwrap();
    assert_eq!(look(&world, &file).await.jobs[0].steps_committed, 5);
    run.checkpoint(5).await.unwrap();
    // It takes ten steps, of which five were reserved.
    let early = refused(run.complete().await);
    assert!(early.contains("step 10 was not reserved"), "{early}");
    assert_eq!(world.record(&run.lease().job).await.checkpoint, Some(pointer));
    reserve(&run, &world, 0, 10).await.unwrap();
    run.complete().await.unwrap();
}

#[tokio::test]
async fn an_orderly_end_gives_back_what_was_not_used() {
    let world = World::new(1).await;
    let (file, run) = begun(&world).await;
    let all = reserve(&run, &world, 0, 10).await.unwrap().spent;
    run.checkpoint(4).await.unwrap();
    let few = refused(world.scheduler.settle_steps(run.lease(), 3).await);
    assert!(few.contains('3') && few.contains('4'), "a checkpoint carries more: {few}");
    let spent = world.scheduler.settle_steps(run.lease(), 4).await.unwrap();
    assert!(spent.steps == 4 && spent.epsilon < all.epsilon, "{spent:?}");
    assert_eq!(world.scheduler.settle_steps(run.lease(), 4).await.unwrap(), spent, "a repeat");
    for late in [
        refused(world.scheduler.settle_steps(run.lease(), 5).await),
        refused(reserve(&run, &world, 0, 10).await.map(|given| assert!(given.until > 4))),
        refused(run.complete().await),
    ] {
        assert!(late.contains("ended") || late.contains("given back"), "{late}");
    }
    world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.unwrap();
    let settled = look(&world, &file).await;
    assert_eq!(
        (settled.jobs[0].state, settled.jobs[0].steps_charged),
        (FilePrivacyState::Settled, 4)
    );

    let next = world.started().await;
    assert_eq!(next.claim.checkpoint.as_ref().unwrap().step, 4);
    let given = reserve(&next, &world, 4, 10).await.unwrap();
    assert_eq!((given.until, given.spent.steps), (10, 10), "nothing was lost, so all fits");
    world.scheduler.settle_steps(next.lease(), 10).await.unwrap();
    next.complete().await.unwrap();
    let job = world.job(&next.lease().job).await;
    let result = job.trainyard.result.unwrap();
    assert_eq!((job.status, result.privacy), (JobStatus::Succeeded, Some(given.spent)));
    assert_eq!(job.trainyard.progress.privacy, Some(given.spent));
    let charged: Vec<u64> =
        look(&world, &file).await.jobs.iter().map(|run| run.steps_charged).collect();
    assert_eq!(charged, [4, 6]);
}

#[tokio::test]
async fn a_run_that_fails_or_says_nothing_stays_charged() {
    for fails in [true, false] {
        let world = World::new(1).await;
        let (file, run) = begun(&world).await;
        reserve(&run, &world, 0, 6).await.unwrap();
        if fails {
            let error =
                JobError { code: JobErrorCode::EngineError, message: "x".into(), param: None };
            world.scheduler.fail(run.lease(), &error, false).await.unwrap();
        } else {
            world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.unwrap();
        }
        let run = &look(&world, &file).await.jobs[0];
        assert_eq!((run.state, run.steps_charged), (FilePrivacyState::Crashed, 6));
    }
}

#[tokio::test]
async fn what_an_executor_says_of_its_spending_is_not_taken() {
    let world = World::new(1).await;
    let (_, run) = begun(&world).await;
    let spent = reserve(&run, &world, 0, 10).await.unwrap().spent;
    let mut completion = run.finished().await;
    completion.result.privacy =
        Some(trainyard_openapi::extension::PrivacySpent { epsilon: 0.1, delta: 0.0, steps: 1 });
    completion.result.signal_to_noise = Some(0.5);
    world.scheduler.complete(run.lease(), &completion).await.unwrap();
    let result = world.job(&run.lease().job).await.trainyard.result.unwrap();
    assert_eq!((result.privacy, result.signal_to_noise), (Some(spent), Some(0.5)));
}
