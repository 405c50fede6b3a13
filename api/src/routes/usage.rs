//! What a tenant has used.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::tenant::Usage;
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::clock::Day;

use crate::auth::{Caller, UsageRead};
use crate::error::Result;
use crate::query::Query;

/// Retrieve usage
///
/// What the tenant has used day by day (UTC), this month unless the query says otherwise, and what it may use.
#[utoipa::path(get, path = "/v1/usage", operation_id = "retrieveUsage", tag = "Usage",
    security(("bearer" = ["usage.read"])),
    params(
        ("from" = Option<String>, Query, format = Date, description = "The first day, such as 2026-11-01"),
        ("to" = Option<String>, Query, format = Date, description = "The last day"),
    ),
    responses((status = 200, description = "The usage", body = Usage)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<UsageRead>,
    request: HttpRequest,
) -> Result<Json<Usage>> {
    let mut query = Query::of(&request);
    let from = day(&mut query, "from")?;
    let to = day(&mut query, "to")?;
    query.finish()?;
    Ok(Json(scheduler.usage(&caller, from, to).await?))
}

fn day(query: &mut Query, name: &str) -> Result<Option<Day>, ApiError> {
    let Some(text) = query.take(name)? else { return Ok(None) };
    let text: String = text.chars().take(40).collect();
    let parsed = text.parse();
    parsed.map(Some).map_err(|why: String| {
        ApiError::field(ErrorCode::InvalidValue, name, format!("query parameter '{name}': {why}"))
    })
}
