//! Uploads in parts.

use actix_multipart::Multipart;
use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data, Json, Path};
use futures::TryStreamExt;
use trainyard_openapi::body;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::UploadId;
use trainyard_openapi::upload::{CompleteUpload, CreateUpload, Upload, UploadPart};
use trainyard_scheduler::Scheduler;

use super::files::unreadable;
use super::{path_id, refuse_encoded};
use crate::auth::{Caller, FilesWrite};
use crate::error::Result;
use crate::query::Query;

/// A part, for the document.
#[derive(utoipa::ToSchema)]
#[schema(as = AddUploadPart)]
#[expect(dead_code, reason = "read by the document alone: the body is streamed")]
pub(crate) struct AddPart {
    /// A piece of the file, up to 64 MiB.
    #[schema(value_type = String, format = Binary)]
    data: Vec<u8>,
}

/// Begin an upload in parts
///
/// For files of up to 8 GiB. It is given up an hour later unless it is completed before.
#[utoipa::path(post, path = "/v1/uploads", operation_id = "createUpload", tag = "Files",
    security(("bearer" = ["files.write"])),
    request_body = CreateUpload, responses((status = 200, description = "The upload", body = Upload)))]
pub(crate) async fn create(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    bytes: Bytes,
) -> Result<Json<Upload>> {
    Query::of(&request).finish()?;
    refuse_encoded(request.headers())?;
    let new: CreateUpload = body::parse(&bytes)?;
    Ok(Json(scheduler.create_upload(&caller, &new).await?))
}

/// Add a part to an upload
///
/// Parts may be sent side by side; completing the upload says in which order they stand.
#[utoipa::path(post, path = "/v1/uploads/{upload_id}/parts", operation_id = "addUploadPart", tag = "Files",
    security(("bearer" = ["files.write"])),
    params(("upload_id" = String, Path, description = "The upload")),
    request_body(content = AddPart, content_type = "multipart/form-data"),
    responses((status = 200, description = "The part", body = UploadPart)))]
pub(crate) async fn add_part(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    id: Path<String>,
    parts: Result<Multipart, actix_web::Error>,
) -> Result<Json<UploadPart>> {
    Query::of(&request).finish()?;
    refuse_encoded(request.headers())?;
    let id = upload_id(&id)?;
    let mut begun = Some(scheduler.begin_part(&caller, &id).await?);
    let mut parts = parts.map_err(|error| {
        let text = format!("the multipart body cannot be read: {error}");
        ApiError::new(ErrorCode::InvalidBody, text)
    })?;
    let mut whole = None;
    while let Some(mut field) = parts.try_next().await.map_err(unreadable)? {
        let name: String = field.name().unwrap_or_default().chars().take(80).collect();
        if name != "data" {
            let text = format!("unknown form field '{name}' (expected 'data')");
            return Err(ApiError::field(ErrorCode::UnknownParameter, name, text).into());
        }
        let Some(mut part) = begun.take() else {
            let text = "form field 'data' is given more than once";
            return Err(ApiError::field(ErrorCode::InvalidValue, "data", text).into());
        };
        while let Some(bytes) = field.try_next().await.map_err(unreadable)? {
            part.write(bytes).await?;
        }
        whole = Some(part);
    }
    let missing =
        || ApiError::field(ErrorCode::MissingField, "data", "missing required parameter 'data'");
    Ok(Json(whole.ok_or_else(missing)?.finish().await?))
}

/// Complete an upload
///
/// The parts become a file in the order of `part_ids`. Their sizes must add up to the upload's `bytes`.
#[utoipa::path(post, path = "/v1/uploads/{upload_id}/complete", operation_id = "completeUpload", tag = "Files",
    security(("bearer" = ["files.write"])),
    params(("upload_id" = String, Path, description = "The upload")),
    request_body = CompleteUpload, responses((status = 200, description = "The upload with its file", body = Upload)))]
pub(crate) async fn complete(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<Json<Upload>> {
    Query::of(&request).finish()?;
    refuse_encoded(request.headers())?;
    let id = upload_id(&id)?;
    scheduler.upload(&caller, &id).await?;
    let complete: CompleteUpload = body::parse(&bytes)?;
    Ok(Json(scheduler.complete_upload(&caller, &id, &complete).await?))
}

/// Cancel an upload
///
/// Its parts are removed. No part can be added after that.
#[utoipa::path(post, path = "/v1/uploads/{upload_id}/cancel", operation_id = "cancelUpload", tag = "Files",
    security(("bearer" = ["files.write"])),
    params(("upload_id" = String, Path, description = "The upload")),
    responses((status = 200, description = "The upload", body = Upload)))]
pub(crate) async fn cancel(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<Upload>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.cancel_upload(&caller, &upload_id(&id)?).await?))
}

fn upload_id(text: &str) -> Result<UploadId, ApiError> {
    path_id(text, ErrorCode::NotFound, "Upload object")
}
