//! Tenants, keys and audit logs, for operators.

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data, Json, Path};
use trainyard_openapi::body;
use trainyard_openapi::erasure::DeletedTenant;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::limits::PAGE_LIMIT_MAX;
use trainyard_openapi::page::Page;
use trainyard_openapi::tenant::{
    AuditEvent, CreateKey, CreateTenant, RotateKey, Tenant, TenantKey, UpdateTenant,
};
use trainyard_scheduler::Scheduler;

use super::{path_id, refuse_encoded};
use crate::auth::{Admin, Caller};
use crate::error::Result;
use crate::query::Query;

/// Create a tenant
///
/// A tenant sees nothing of another. It has no key yet: make one with `createTenantKey`.
#[utoipa::path(post, path = "/v1/admin/tenants", operation_id = "createTenant", tag = "Administration",
    security(("bearer" = ["admin"])),
    request_body = CreateTenant, responses((status = 200, description = "The tenant", body = Tenant)))]
pub(crate) async fn create(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    bytes: Bytes,
) -> Result<Json<Tenant>> {
    refuse_encoded(request.headers())?;
    let new: CreateTenant = body::parse(&bytes)?;
    Ok(Json(scheduler.create_tenant(&caller, &new).await?))
}

/// List tenants
///
/// Newest first unless asked otherwise.
#[utoipa::path(get, path = "/v1/admin/tenants", operation_id = "listTenants", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 where left out"),
        ("order" = Option<trainyard_openapi::page::Order>, Query, description = "By time of creation; desc where left out"),
    ),
    responses((status = 200, description = "A page of tenants", body = Page<Tenant>)))]
pub(crate) async fn list(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
) -> Result<Json<Page<Tenant>>> {
    let mut query = Query::of(&request);
    let page = query.page::<TenantId>(20, PAGE_LIMIT_MAX, true)?;
    query.finish()?;
    Ok(Json(scheduler.tenants(&caller, &page).await?))
}

/// Retrieve a tenant
///
/// Its name, status and quota.
#[utoipa::path(get, path = "/v1/admin/tenants/{tenant_id}", operation_id = "retrieveTenant", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses((status = 200, description = "The tenant", body = Tenant)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    id: Path<String>,
) -> Result<Json<Tenant>> {
    Ok(Json(scheduler.tenant(&caller, &tenant_id(&id)?).await?))
}

/// Update a tenant
///
/// What the body leaves out stays; `quota` is replaced as a whole. The keys of a suspended tenant do not work.
#[utoipa::path(post, path = "/v1/admin/tenants/{tenant_id}", operation_id = "updateTenant", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    request_body = UpdateTenant, responses((status = 200, description = "The tenant", body = Tenant)))]
pub(crate) async fn update(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<Json<Tenant>> {
    refuse_encoded(request.headers())?;
    let update: UpdateTenant = body::parse(&bytes)?;
    Ok(Json(scheduler.update_tenant(&caller, &tenant_id(&id)?, &update).await?))
}

/// Delete a tenant
///
/// Its keys stop working at once. One that has jobs, files or models is refused without `cascade=true`, which cancels its jobs and erases
/// all that it has; the audit log stays. The receipt says whether it is complete: a run that is being cancelled takes a moment, and the
/// server goes on by itself. A repeat answers with the same receipt.
#[utoipa::path(delete, path = "/v1/admin/tenants/{tenant_id}", operation_id = "deleteTenant", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("cascade" = Option<bool>, Query, description = "Whether all that it has goes too; false where left out"),
    ),
    responses((status = 200, description = "It is gone", body = DeletedTenant)))]
pub(crate) async fn remove(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<DeletedTenant>> {
    let mut query = Query::of(&request);
    let cascade = query.flag("cascade")?;
    query.finish()?;
    Ok(Json(scheduler.delete_tenant(&caller, &tenant_id(&id)?, cascade).await?))
}

/// Create a tenant's key
///
/// The answer holds the whole key, once: only its hash is stored.
#[utoipa::path(post, path = "/v1/admin/tenants/{tenant_id}/keys", operation_id = "createTenantKey", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(("tenant_id" = String, Path, description = "The tenant")),
    request_body = CreateKey, responses((status = 200, description = "The key", body = TenantKey)))]
pub(crate) async fn create_key(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<Json<TenantKey>> {
    refuse_encoded(request.headers())?;
    let new: CreateKey = body::parse(&bytes)?;
    Ok(Json(scheduler.create_key(&caller, &tenant_id(&id)?, &new).await?))
}

/// List a tenant's keys
///
/// Newest first, without their secrets; revoked and expired ones too.
#[utoipa::path(get, path = "/v1/admin/tenants/{tenant_id}/keys", operation_id = "listTenantKeys", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 where left out"),
    ),
    responses((status = 200, description = "A page of keys", body = Page<TenantKey>)))]
pub(crate) async fn keys(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<Page<TenantKey>>> {
    let mut query = Query::of(&request);
    let page = query.page::<String>(20, PAGE_LIMIT_MAX, false)?;
    query.finish()?;
    Ok(Json(scheduler.keys(&caller, &tenant_id(&id)?, &page).await?))
}

/// Retrieve a tenant's key
///
/// Without its secret.
#[utoipa::path(get, path = "/v1/admin/tenants/{tenant_id}/keys/{key_id}", operation_id = "retrieveTenantKey", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("key_id" = String, Path, description = "The public part of the key"),
    ),
    responses((status = 200, description = "The key", body = TenantKey)))]
pub(crate) async fn retrieve_key(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    path: Path<(String, String)>,
) -> Result<Json<TenantKey>> {
    Ok(Json(scheduler.key(&caller, &tenant_id(&path.0)?, &path.1).await?))
}

/// Revoke a tenant's key
///
/// It stops working at once, in other processes within 30 seconds. Its record stays.
#[utoipa::path(delete, path = "/v1/admin/tenants/{tenant_id}/keys/{key_id}", operation_id = "revokeTenantKey", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("key_id" = String, Path, description = "The public part of the key"),
    ),
    responses((status = 200, description = "The key, revoked", body = TenantKey)))]
pub(crate) async fn revoke_key(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    path: Path<(String, String)>,
) -> Result<Json<TenantKey>> {
    Ok(Json(scheduler.revoke_key(&caller, &tenant_id(&path.0)?, &path.1).await?))
}

/// Rotate a tenant's key
///
/// Answers with a new key of the same name and scopes. The old one works on for `overlap_seconds`.
#[utoipa::path(post, path = "/v1/admin/tenants/{tenant_id}/keys/{key_id}/rotate", operation_id = "rotateTenantKey", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("key_id" = String, Path, description = "The public part of the key"),
    ),
    request_body = RotateKey, responses((status = 200, description = "The new key", body = TenantKey)))]
pub(crate) async fn rotate_key(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Result<Json<TenantKey>> {
    refuse_encoded(request.headers())?;
    let rotate: RotateKey =
        if bytes.is_empty() { RotateKey::default() } else { body::parse(&bytes)? };
    Ok(Json(scheduler.rotate_key(&caller, &tenant_id(&path.0)?, &path.1, &rotate).await?))
}

/// List a tenant's audit log
///
/// Oldest first: the order in which its hashes follow each other. `trainyard audit verify` follows them.
#[utoipa::path(get, path = "/v1/admin/tenants/{tenant_id}/audit", operation_id = "listAuditEvents", tag = "Administration",
    security(("bearer" = ["admin"])),
    params(
        ("tenant_id" = String, Path, description = "The tenant"),
        ("after" = Option<u64>, Query, description = "The id of the last entry of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 where left out"),
    ),
    responses((status = 200, description = "A page of the log", body = Page<AuditEvent>)))]
pub(crate) async fn audit(
    scheduler: Data<Scheduler>,
    caller: Caller<Admin>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<Page<AuditEvent>>> {
    let mut query = Query::of(&request);
    let page = query.page::<u64>(100, PAGE_LIMIT_MAX, false)?;
    query.finish()?;
    let after = page.after.and_then(|after| after.parse().ok()).unwrap_or(0);
    Ok(Json(scheduler.audit_log(&caller, &tenant_id(&id)?, after, page.limit).await?))
}

fn tenant_id(text: &str) -> Result<TenantId, ApiError> {
    path_id(text, ErrorCode::NotFound, "tenant")
}
