//! Probes. They need no key and say nothing of anybody.

use actix_web::web::{Data, Json};
use serde::Serialize;
use trainyard_scheduler::Scheduler;

use crate::error::Result;

/// The answer of a probe.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Is the process alive?
///
/// Touches nothing else: a store that does not answer is no reason to restart the server.
#[utoipa::path(get, path = "/healthz/live", operation_id = "live", tag = "Health", security(()),
    responses((status = 200, description = "It is", body = Health)))]
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Can it serve requests?
///
/// Yes where the store answers.
#[utoipa::path(get, path = "/healthz/ready", operation_id = "ready", tag = "Health", security(()),
    responses((status = 200, description = "It can", body = Health)))]
pub(crate) async fn ready(scheduler: Data<Scheduler>) -> Result<Json<Health>> {
    scheduler.ready().await?;
    Ok(Json(Health { status: "ok" }))
}
