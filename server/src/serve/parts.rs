//! From configuration to the scheduler's and the agent's parts.

use std::sync::Arc;
use std::time::Duration;

use trainyard_executor::{AgentConfig, TrainerInspector};
use trainyard_openapi::id::ExecutorId;
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::{open_objects, open_queue, open_store};
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig};
use trainyard_webhooks::Deliverer;
use trainyard_webhooks::client::{Client, TIMEOUT};
use trainyard_webhooks::resolver::SystemLookup;

use super::ServeError;
use crate::config::Config;

/// Opens record, queue and objects, whose URLs choose the backends.
pub(crate) async fn scheduler(config: &Config) -> Result<Parts, ServeError> {
    let Config { http: _, oidc: _, storage, s3, training, dispatch, webhooks, log: _ } = config;
    let store = open_store(&storage.store_url(), &storage.redis()?).await?;
    let queue = open_queue(&storage.queue_url()?, &[&training.pool]).await?;
    let url = storage.objects_url();
    let objects = open_objects(&url, &s3.options(&url).await?).await?;
    let memory = training.memory_per_job_bytes()?;
    let inspector = TrainerInspector::new(agent(config)?, objects.clone());
    Ok(Parts {
        store,
        queue,
        objects,
        models: BaseModels::new(storage.models_dir()),
        host: HostFacts::of_this_processor(memory),
        inspector: Some(Arc::new(inspector)),
        config: SchedulerConfig {
            pool: training.pool.clone(),
            slots: training.slots,
            lease_seconds: dispatch.lease_seconds,
            lease_grace_seconds: dispatch.lease_grace_seconds,
            redispatch_seconds: dispatch.redispatch_seconds,
            attempts_lost_max: dispatch.attempts_lost_max,
            attempts_preempted_max: dispatch.attempts_preempted_max,
            attempts_failed_max: dispatch.attempts_failed_max,
            fair_share_half_life: Duration::from_secs(dispatch.fair_share_half_life_hours * 3600),
            preemption: dispatch.preemption,
            preemption_min_run_seconds: dispatch.preemption_min_run_seconds,
            webhooks: webhooks.targets(),
            tick: Duration::from_millis(dispatch.tick_milliseconds),
        },
    })
}

/// The loop that delivers webhooks.
pub(crate) fn deliverer(config: &Config, scheduler: Scheduler) -> Result<Deliverer, ServeError> {
    let client = Client::new(config.webhooks.targets(), Arc::new(SystemLookup), TIMEOUT);
    Ok(Deliverer::new(scheduler, client.map_err(ServeError::Webhooks)?))
}

/// The agent's configuration; each start of the server is a new executor.
pub(crate) fn agent(config: &Config) -> Result<AgentConfig, ServeError> {
    let Config { http: _, oidc: _, storage, s3: _, training, dispatch: _, webhooks: _, log: _ } =
        config;
    let work_dir = training.work_dir.clone();
    Ok(AgentConfig {
        executor: ExecutorId::generate().map_err(|error| ServeError::Random(error.to_string()))?,
        pool: training.pool.clone(),
        slots: training.slots,
        work_dir: work_dir.unwrap_or_else(|| storage.data_dir.join("work")),
        models_dir: storage.models_dir(),
        trainer: training.trainer()?,
        threads: Some(training.threads()),
        heartbeat: Duration::from_secs(training.heartbeat_seconds),
        self_fence: Duration::from_secs(training.self_fence_seconds),
        stop_grace: Duration::from_secs(training.stop_grace_seconds),
        stall: Duration::from_secs(training.stall_seconds),
        stall_start: Duration::from_secs(training.stall_start_seconds),
        report_every: Duration::from_millis(training.report_milliseconds),
    })
}
