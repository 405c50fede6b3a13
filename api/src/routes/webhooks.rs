//! Webhooks and their deliveries.

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data, Json, Path};
use trainyard_openapi::body;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::Deleted;
use trainyard_openapi::id::{DeliveryId, WebhookId};
use trainyard_openapi::limits::PAGE_LIMIT_MAX;
use trainyard_openapi::page::Page;
use trainyard_openapi::webhook::{CreateWebhook, UpdateWebhook, Webhook, WebhookDelivery};
use trainyard_scheduler::Scheduler;

use super::{path_id, refuse_encoded};
use crate::auth::{Caller, WebhooksRead, WebhooksWrite};
use crate::error::Result;
use crate::query::Query;

/// Create a webhook
///
/// The endpoint is told of every transition of the tenant's jobs, signed as Standard Webhooks has it. The answer holds the secret, once.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "createWebhook", tag = "Webhooks",
    security(("bearer" = ["webhooks.write"])),
    request_body = CreateWebhook, responses((status = 200, description = "The webhook with its secret", body = Webhook)))]
pub(crate) async fn create(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksWrite>,
    request: HttpRequest,
    bytes: Bytes,
) -> Result<Json<Webhook>> {
    refuse_encoded(request.headers())?;
    let new: CreateWebhook = body::parse(&bytes)?;
    Ok(Json(scheduler.create_webhook(&caller, &new).await?))
}

/// List webhooks
///
/// Newest first unless asked otherwise, without their secrets. Webhooks of single jobs stand in their jobs.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = "Webhooks",
    security(("bearer" = ["webhooks.read"])),
    params(
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 where left out"),
        ("order" = Option<trainyard_openapi::page::Order>, Query, description = "By time of creation; desc where left out"),
    ),
    responses((status = 200, description = "A page of webhooks", body = Page<Webhook>)))]
pub(crate) async fn list(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksRead>,
    request: HttpRequest,
) -> Result<Json<Page<Webhook>>> {
    let mut query = Query::of(&request);
    let page = query.page::<WebhookId>(20, PAGE_LIMIT_MAX, true)?;
    query.finish()?;
    Ok(Json(scheduler.webhooks(&caller, &page).await?))
}

/// Retrieve a webhook
///
/// Without its secret. `disabled_reason` says why the server sends nothing any more, where it was the server that ended it.
#[utoipa::path(get, path = "/v1/webhooks/{webhook_id}", operation_id = "retrieveWebhook", tag = "Webhooks",
    security(("bearer" = ["webhooks.read"])),
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = Webhook)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksRead>,
    id: Path<String>,
) -> Result<Json<Webhook>> {
    Ok(Json(scheduler.webhook(&caller, &webhook_id(&id)?).await?))
}

/// Update a webhook
///
/// What the body leaves out stays. A webhook that was disabled is enabled again with `"enabled": true`.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}", operation_id = "updateWebhook", tag = "Webhooks",
    security(("bearer" = ["webhooks.write"])),
    params(("webhook_id" = String, Path, description = "The webhook")),
    request_body = UpdateWebhook, responses((status = 200, description = "The webhook", body = Webhook)))]
pub(crate) async fn update(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksWrite>,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<Json<Webhook>> {
    refuse_encoded(request.headers())?;
    let update: UpdateWebhook =
        if bytes.is_empty() { UpdateWebhook::default() } else { body::parse(&bytes)? };
    Ok(Json(scheduler.update_webhook(&caller, &webhook_id(&id)?, &update).await?))
}

/// Delete a webhook
///
/// Events that were not delivered yet are given up.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook_id}", operation_id = "deleteWebhook", tag = "Webhooks",
    security(("bearer" = ["webhooks.write"])),
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "It is deleted", body = Deleted)))]
pub(crate) async fn remove(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksWrite>,
    id: Path<String>,
) -> Result<Json<Deleted>> {
    Ok(Json(scheduler.delete_webhook(&caller, &webhook_id(&id)?).await?))
}

/// Rotate a webhook's secret
///
/// The answer holds the new secret, once. The secret before it signs too for 24 hours: `webhook-signature` then has two signatures. To end
/// a secret at once, rotate twice.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/rotate_secret", operation_id = "rotateWebhookSecret", tag = "Webhooks",
    security(("bearer" = ["webhooks.write"])),
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook with its new secret", body = Webhook)))]
pub(crate) async fn rotate_secret(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksWrite>,
    id: Path<String>,
) -> Result<Json<Webhook>> {
    Ok(Json(scheduler.rotate_webhook_secret(&caller, &webhook_id(&id)?).await?))
}

/// Test a webhook
///
/// Queues an event of the type `webhook.ping`; the list of deliveries says what came of it.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/test", operation_id = "testWebhook", tag = "Webhooks",
    security(("bearer" = ["webhooks.write"])),
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The delivery", body = WebhookDelivery)))]
pub(crate) async fn test(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksWrite>,
    id: Path<String>,
) -> Result<Json<WebhookDelivery>> {
    Ok(Json(scheduler.test_webhook(&caller, &webhook_id(&id)?).await?))
}

/// List a webhook's deliveries
///
/// Newest first unless asked otherwise: those under way, and those that ended in the last 7 days.
#[utoipa::path(get, path = "/v1/webhooks/{webhook_id}/deliveries", operation_id = "listWebhookDeliveries", tag = "Webhooks",
    security(("bearer" = ["webhooks.read"])),
    params(
        ("webhook_id" = String, Path, description = "The webhook"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 where left out"),
        ("order" = Option<trainyard_openapi::page::Order>, Query, description = "By time of the event; desc where left out"),
    ),
    responses((status = 200, description = "A page of deliveries", body = Page<WebhookDelivery>)))]
pub(crate) async fn deliveries(
    scheduler: Data<Scheduler>,
    caller: Caller<WebhooksRead>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<Page<WebhookDelivery>>> {
    let mut query = Query::of(&request);
    let page = query.page::<DeliveryId>(20, PAGE_LIMIT_MAX, true)?;
    query.finish()?;
    Ok(Json(scheduler.webhook_deliveries(&caller, &webhook_id(&id)?, &page).await?))
}

fn webhook_id(text: &str) -> Result<WebhookId, ApiError> {
    path_id(text, ErrorCode::NotFound, "webhook")
}
