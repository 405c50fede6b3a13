//! The trace of a create request stays with its job: every ticket carries it, however late and from whichever process.

use trainyard_scheduler::trace::{Span, SpanKind, TraceParent};

use crate::world::World;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn an_attempt_hours_later_still_knows_the_request() {
    let caller: TraceParent = CALLER.parse().unwrap();
    let mut world = World::new(1).await;
    let request = Span::below(SpanKind::Server, "POST /v1/fine_tuning/jobs", Some(&caller));
    let id = request.around(world.submit()).await;
    drop(request);
    assert_eq!(world.record(&id).await.traceparent.as_ref(), Some(&caller));
    world.tick().await;
    world.tick().await;
    let first = world.ticket().await.unwrap();
    assert_eq!((first.seq, first.traceparent), (1, Some(caller.clone())));
    world.forget_process();
    world.pass(7_200).await;
    let again = world.ticket().await.unwrap();
    assert_eq!((again.job, again.traceparent), (id, Some(caller)));
    assert!(again.seq > 1);
}

#[tokio::test]
async fn a_job_of_nobodys_trace_has_none() {
    let world = World::new(1).await;
    let id = world.submit().await;
    assert_eq!(world.record(&id).await.traceparent, None);
}
