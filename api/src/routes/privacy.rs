//! Privacy budgets of files.

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data, Json, Path};
use trainyard_openapi::body;
use trainyard_openapi::file_privacy::{FilePrivacy, SetPrivacyBudget};
use trainyard_scheduler::Scheduler;

use super::files::file_id;
use super::refuse_encoded;
use crate::auth::{Caller, FilesRead, FilesWrite};
use crate::error::Result;
use crate::query::Query;

/// Retrieve a file's privacy budget
///
/// What private jobs have spent of the privacy of the file's content, what is left of its budget, and what each run was charged for. Files
/// with the same content share it, and a file that is deleted and uploaded again has spent what it had spent.
#[utoipa::path(get, path = "/v1/files/{file_id}/privacy", operation_id = "retrieveFilePrivacy", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(("file_id" = String, Path, description = "The file")),
    responses((status = 200, description = "What was spent, and what is left", body = FilePrivacy)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<FilePrivacy>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.file_privacy(&caller, &file_id(&id)?).await?))
}

/// Set a file's privacy budget
///
/// What all private jobs on the file's content may spend together, those of before included. From then on jobs that read it must be private.
/// A budget below what was spent lets nothing more run.
#[utoipa::path(post, path = "/v1/files/{file_id}/privacy", operation_id = "setFilePrivacyBudget", tag = "Files",
    security(("bearer" = ["files.write"])),
    params(("file_id" = String, Path, description = "The file")),
    request_body = SetPrivacyBudget,
    responses((status = 200, description = "The budget, what was spent, and what is left", body = FilePrivacy)))]
pub(crate) async fn set(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<Json<FilePrivacy>> {
    refuse_encoded(request.headers())?;
    let id = file_id(&id)?;
    let new: SetPrivacyBudget = body::parse(&bytes)?;
    Ok(Json(scheduler.set_privacy_budget(&caller, &id, &new).await?))
}
