//! From configuration to the scheduler's and the agent's parts.

use std::sync::Arc;
use std::time::Duration;

use trainyard_executor::{AgentConfig, TrainerInspector};
use trainyard_openapi::id::ExecutorId;
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::{open_objects, open_queue, open_store};
use trainyard_scheduler::port::store::Durability;
use trainyard_scheduler::{BaseModels, Devices, Parts, Scheduler, SchedulerConfig};
use trainyard_webhooks::Deliverer;
use trainyard_webhooks::client::{Client, TIMEOUT};
use trainyard_webhooks::resolver::SystemLookup;

use super::ServeError;
use crate::config::{Config, Training, machine};

/// The parts of a scheduler whose agent is in this process.
pub(super) async fn embedded(config: &Config) -> Result<Parts, ServeError> {
    let Training { pool, slots, .. } = &config.training;
    let memory = config.training.memory_per_job_bytes()?;
    let mut parts = open(config, &[pool], Devices::of(pool, *slots), memory).await?;
    let inspector = TrainerInspector::new(agent(config)?, parts.objects.clone());
    parts.inspector = Some(Arc::new(inspector));
    Ok(parts)
}

/// The parts of a scheduler whose executors are other processes.
pub(super) async fn shared(config: &Config) -> Result<Parts, ServeError> {
    warn_of_directory(&config.storage.objects_url());
    // The default pool alone: executors declare their own at their start.
    let pools = [trainyard_scheduler::DEFAULT_POOL];
    let memory = match config.training.memory_per_job_mib {
        Some(mib) => mib.saturating_mul(1 << 20),
        None => machine::memory_bytes()?,
    };
    open(config, &pools, Devices::Enlisted, memory).await
}

/// Says that objects in a directory are no use unless all processes see the same one.
pub(super) fn warn_of_directory(objects: &str) {
    if objects.starts_with("file:") {
        tracing::warn!(
            objects,
            "objects lie in a directory: all processes need this very directory, shared; without one use s3://BUCKET/PREFIX"
        );
    }
}

/// Opens record, queue and objects, whose URLs choose the backends.
async fn open(
    config: &Config,
    pools: &[&str],
    devices: Devices,
    memory_per_job_bytes: u64,
) -> Result<Parts, ServeError> {
    let Config { storage, s3, dispatch, webhooks, .. } = config;
    let store = open_store(&storage.store_url(), &storage.redis()?).await?;
    let queue = open_queue(&storage.queue_url()?, pools).await?;
    let url = storage.objects_url();
    let objects = open_objects(&url, &s3.options(&url).await?).await?;
    Ok(Parts {
        store,
        queue,
        objects,
        models: BaseModels::new(storage.models_dir()),
        host: HostFacts::of_processor(
            &std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
            memory_per_job_bytes,
        ),
        inspector: None,
        config: SchedulerConfig {
            devices,
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
            link_seconds: storage.link_seconds,
            tick: Duration::from_millis(dispatch.tick_milliseconds),
            #[cfg(feature = "mutants")]
            without: guard_left_out()?,
        },
    })
}

/// The guard that this build, which is none to release, leaves out.
#[cfg(feature = "mutants")]
#[expect(clippy::disallowed_methods, reason = "this crate is the one that reads the environment")]
fn guard_left_out() -> Result<Option<trainyard_scheduler::guard::Guard>, crate::config::ConfigError>
{
    let Ok(name) = std::env::var("TRAINYARD_WITHOUT_GUARD") else { return Ok(None) };
    let guard = name.parse().map_err(crate::config::ConfigError::Conflict)?;
    tracing::warn!(?guard, "a guard of the dispatch protocol is left out: promises will be broken");
    Ok(Some(guard))
}

/// A scheduler on `parts`; says where its record may forget.
pub(super) fn scheduler(parts: Parts) -> Scheduler {
    let scheduler = Scheduler::new(parts);
    if let Durability::Volatile(reason) = scheduler.durability() {
        tracing::warn!(reason, "the record may lose what it acknowledged");
    }
    scheduler
}

/// The loop that delivers webhooks.
pub(crate) fn deliverer(config: &Config, scheduler: Scheduler) -> Result<Deliverer, ServeError> {
    let client = Client::new(config.webhooks.targets(), Arc::new(SystemLookup), TIMEOUT);
    Ok(Deliverer::new(scheduler, client.map_err(ServeError::Webhooks)?))
}

/// The agent's configuration; each start of the server is a new executor.
pub(crate) fn agent(config: &Config) -> Result<AgentConfig, ServeError> {
    let Config { storage, training, .. } = config;
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
