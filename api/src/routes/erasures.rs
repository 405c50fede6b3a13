//! Lineage and receipts of erasures.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use trainyard_openapi::erasure::{ErasureReceipt, Lineage};
use trainyard_openapi::error::ErrorCode;
use trainyard_scheduler::Scheduler;

use super::files::file_id;
use super::path_id;
use crate::auth::{Caller, FilesRead};
use crate::error::Result;
use crate::query::Query;

/// Retrieve a file's lineage
///
/// What came of it: the jobs that read it, their models, checkpoints and result files, and other files with the same content.
#[utoipa::path(get, path = "/v1/files/{file_id}/lineage", operation_id = "retrieveFileLineage", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(("file_id" = String, Path, description = "The file; also one that was deleted")),
    responses((status = 200, description = "What came of it", body = Lineage)))]
pub(crate) async fn lineage(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<Lineage>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.lineage(&caller, &file_id(&id)?).await?))
}

/// Retrieve the receipt of an erasure
///
/// What a deletion with `cascade` removed, and what it kept and why.
#[utoipa::path(get, path = "/v1/erasures/{erasure_id}", operation_id = "retrieveErasure", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(("erasure_id" = String, Path, description = "The erasure")),
    responses((status = 200, description = "The receipt", body = ErasureReceipt)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<ErasureReceipt>> {
    Query::of(&request).finish()?;
    let id = path_id(&id, ErrorCode::NotFound, "erasure")?;
    Ok(Json(scheduler.erasure(&caller, &id).await?))
}
