//! Files: streamed in and out.

use actix_multipart::{Field, Multipart};
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures::TryStreamExt;
use trainyard_openapi::erasure::DeletedFile;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::{File, Purpose};
use trainyard_openapi::id::FileId;
use trainyard_openapi::limits::FILE_PAGE_LIMIT_MAX;
use trainyard_openapi::link::{Link, attachment};
use trainyard_openapi::page::Page;
use trainyard_openapi::upload::ExpiresAfter;
use trainyard_scheduler::{Scheduler, TenantContext};

use super::{path_id, refuse_encoded};
use crate::auth::{Caller, FilesRead, FilesWrite};
use crate::error::{Failure, Result};
use crate::query::Query;

/// Bytes of a part that is no file; the longest purpose has 17.
const SMALL_PART_BYTES_MAX: usize = 256;

/// What a form may add to the file in it; the rest of a body is the file itself.
const FORM_BYTES_MAX: u64 = 8192;

/// An upload, for the document.
#[derive(utoipa::ToSchema)]
#[schema(as = UploadFile)]
#[expect(dead_code, reason = "read by the document alone: the body is streamed")]
pub(crate) struct UploadFile {
    /// The file: JSONL, UTF-8, up to 512 MiB.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Always `fine-tune`.
    #[schema(value_type = String, example = "fine-tune")]
    purpose: String,
    /// When it is deleted by itself: the anchor, always `created_at`.
    #[schema(rename = "expires_after[anchor]", value_type = Option<String>, example = "created_at")]
    anchor: Option<String>,
    /// Seconds after that: 3600 to 2592000.
    #[schema(rename = "expires_after[seconds]", value_type = Option<u64>)]
    seconds: Option<u64>,
}

/// Upload a file
///
/// The file is streamed to the data directory and durable when this answers. Its lines are read when a job uses it.
#[utoipa::path(post, path = "/v1/files", operation_id = "createFile", tag = "Files",
    security(("bearer" = ["files.write"])),
    request_body(content = UploadFile, content_type = "multipart/form-data"),
    responses((status = 200, description = "The file", body = File)))]
pub(crate) async fn create(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    parts: Multipart,
) -> Result<Json<File>> {
    Query::of(&request).finish()?;
    refuse_encoded(request.headers())?;
    let length = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length {
        scheduler.check_storage(&caller, length.saturating_sub(FORM_BYTES_MAX)).await?;
    }
    Ok(Json(receive(&scheduler, &caller, parts).await?))
}

/// List files
///
/// Newest first unless asked otherwise.
#[utoipa::path(get, path = "/v1/files", operation_id = "listFiles", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(
        ("purpose" = Option<Purpose>, Query, description = "Only files with this purpose"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 10000; 10000 where left out"),
        ("order" = Option<trainyard_openapi::page::Order>, Query, description = "By time of upload; desc where left out"),
    ),
    responses((status = 200, description = "A page of files", body = Page<File>)))]
pub(crate) async fn list(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    request: HttpRequest,
) -> Result<Json<Page<File>>> {
    let mut query = Query::of(&request);
    let page = query.page::<FileId>(FILE_PAGE_LIMIT_MAX, FILE_PAGE_LIMIT_MAX, true)?;
    let purpose = query.take("purpose")?.map(|text| purpose(&text)).transpose()?;
    query.finish()?;
    Ok(Json(scheduler.files(&caller, purpose, &page).await?))
}

/// Retrieve a file
///
/// What is known of it, without its content.
#[utoipa::path(get, path = "/v1/files/{file_id}", operation_id = "retrieveFile", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(("file_id" = String, Path, description = "The file")),
    responses((status = 200, description = "The file", body = File)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    id: Path<String>,
) -> Result<Json<File>> {
    Ok(Json(scheduler.file(&caller, &file_id(&id)?).await?))
}

/// Delete a file
///
/// Refused while a job that has not ended reads it. The answer names what was trained on the file, which stays: with `cascade=true` it
/// goes too, with checkpoints, models, result files, events and kept answers, and the answer holds a receipt. That takes the scopes
/// `models.write` and `jobs.write` as well. A repeat answers with the same receipt.
#[utoipa::path(delete, path = "/v1/files/{file_id}", operation_id = "deleteFile", tag = "Files",
    security(("bearer" = ["files.write"])),
    params(
        ("file_id" = String, Path, description = "The file"),
        ("cascade" = Option<bool>, Query, description = "Whether all that was made of it goes too; false where left out"),
    ),
    responses((status = 200, description = "It is gone", body = DeletedFile)))]
pub(crate) async fn remove(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesWrite>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<DeletedFile>> {
    let mut query = Query::of(&request);
    let cascade = query.flag("cascade")?;
    query.finish()?;
    let id = file_id(&id)?;
    Ok(Json(match cascade {
        true => scheduler.erase_file(&caller, &id).await?,
        false => scheduler.delete_file(&caller, &id).await?,
    }))
}

/// Download a file
///
/// The content as it was uploaded, or the result CSV of a job, whose columns `/docs` defines.
#[utoipa::path(get, path = "/v1/files/{file_id}/content", operation_id = "downloadFile", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(("file_id" = String, Path, description = "The file")),
    responses((status = 200, description = "The content", body = String, content_type = "application/octet-stream")))]
pub(crate) async fn content(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    id: Path<String>,
) -> Result<HttpResponse> {
    let (record, stream) = scheduler.read_file(&caller, &file_id(&id)?).await?;
    let kind = match record.purpose {
        Purpose::FineTune => "application/octet-stream",
        Purpose::FineTuneResults => "text/csv; charset=utf-8",
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CONTENT_LENGTH, record.bytes))
        .insert_header((CONTENT_DISPOSITION, attachment(&record.filename)))
        .no_chunking(record.bytes)
        .streaming(stream.map_err(|error| std::io::Error::other(error.to_string()))))
}

/// Link to a file's content
///
/// A URL at which the object store itself gives the content, without a key, for a while. Refused
/// with `not_available` where the server keeps its objects in a directory.
#[utoipa::path(get, path = "/v1/files/{file_id}/link", operation_id = "linkFile", tag = "Files",
    security(("bearer" = ["files.read"])),
    params(("file_id" = String, Path, description = "The file")),
    responses((status = 200, description = "The link", body = Link)))]
pub(crate) async fn link(
    scheduler: Data<Scheduler>,
    caller: Caller<FilesRead>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<Link>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.file_link(&caller, &file_id(&id)?).await?))
}

/// Streams the parts in, in whatever order they come.
async fn receive(scheduler: &Scheduler, ctx: &TenantContext, mut parts: Multipart) -> Result<File> {
    let (mut upload, mut seen) = (None, None::<Purpose>);
    let (mut anchor, mut seconds) = (None, None);
    while let Some(mut part) = parts.try_next().await.map_err(unreadable)? {
        let name = part.name().unwrap_or_default().to_string();
        match name.as_str() {
            "purpose" if seen.is_none() => {
                seen = Some(purpose(&small(&mut part, "purpose").await?)?)
            }
            "file" if upload.is_none() => {
                let filename = part
                    .content_disposition()
                    .and_then(|d| d.get_filename())
                    .unwrap_or_default()
                    .to_string();
                // The purpose may come behind the file; there is only one that can be uploaded.
                let mut begun = scheduler
                    .begin_upload(ctx, &filename, seen.unwrap_or(Purpose::FineTune))
                    .await?;
                while let Some(bytes) = part.try_next().await.map_err(unreadable)? {
                    begun.write(bytes).await?;
                }
                upload = Some(begun);
            }
            "expires_after[anchor]" if anchor.is_none() => {
                anchor = Some(small(&mut part, &name).await?);
            }
            "expires_after[seconds]" if seconds.is_none() => {
                seconds = Some(small(&mut part, &name).await?);
            }
            "purpose" | "file" | "expires_after[anchor]" | "expires_after[seconds]" => {
                return Err(refuse(&name, "is given more than once").into());
            }
            other => {
                let other: String = other.chars().take(80).collect();
                let text = format!("unknown form field '{other}' (expected 'file' and 'purpose')");
                return Err(ApiError::field(ErrorCode::UnknownParameter, other, text).into());
            }
        }
    }
    let missing = |name: &str| {
        ApiError::field(
            ErrorCode::MissingField,
            name,
            format!("missing required parameter '{name}'"),
        )
    };
    let mut upload = upload.ok_or_else(|| missing("file"))?;
    match (anchor, seconds) {
        (None, None) => {}
        (None, Some(_)) => return Err(missing("expires_after[anchor]").into()),
        (Some(_), None) => return Err(missing("expires_after[seconds]").into()),
        (Some(anchor), Some(text)) => {
            let seconds = text
                .parse()
                .map_err(|_| refuse("expires_after[seconds]", "is no whole number of seconds"))?;
            upload.expire_after(ExpiresAfter { anchor, seconds }.milliseconds()?);
        }
    }
    match seen {
        Some(Purpose::FineTune) => Ok(upload.finish().await?),
        Some(Purpose::FineTuneResults) => Err(not_uploadable("fine-tune-results").into()),
        None => Err(missing("purpose").into()),
    }
}

async fn small(part: &mut Field, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.try_next().await.map_err(unreadable)? {
        if bytes.len() + piece.len() > SMALL_PART_BYTES_MAX {
            return Err(refuse(name, "is too long").into());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(bytes).map_err(|_| refuse(name, "is not UTF-8"))?)
}

fn purpose(text: &str) -> Result<Purpose, ApiError> {
    match text {
        "fine-tune" => Ok(Purpose::FineTune),
        "fine-tune-results" => Ok(Purpose::FineTuneResults),
        "assistants" | "batch" | "vision" | "user_data" | "evals" => Err(not_uploadable(text)),
        other => {
            let other: String = other.chars().take(40).collect();
            let text = format!("'{other}' is no purpose (expected 'fine-tune')");
            Err(ApiError::field(ErrorCode::InvalidPurpose, "purpose", text))
        }
    }
}

fn not_uploadable(purpose: &str) -> ApiError {
    let text =
        format!("files with purpose '{purpose}' cannot be uploaded here (expected 'fine-tune')");
    ApiError::field(ErrorCode::InvalidPurpose, "purpose", text)
}

fn refuse(name: &str, reason: &str) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, name, format!("form field '{name}' {reason}"))
}

pub(super) fn unreadable(error: actix_multipart::MultipartError) -> Failure {
    ApiError::new(ErrorCode::InvalidBody, format!("the multipart body cannot be read: {error}"))
        .into()
}

pub(super) fn file_id(text: &str) -> Result<FileId, ApiError> {
    path_id(text, ErrorCode::FileNotFound, "File object")
}
