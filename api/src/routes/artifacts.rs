//! The files that results and checkpoints are made of.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures::TryStreamExt;
use trainyard_openapi::link::{Link, attachment};
use trainyard_openapi::model::Artifact;
use trainyard_openapi::page::Page;
use trainyard_scheduler::Scheduler;

use crate::auth::{Caller, ModelsRead};
use crate::error::Result;
use crate::query::Query;

/// List a model's files
///
/// Those of a fine-tuned model or of a checkpoint by its name. Together they are a directory that PEFT loads.
#[utoipa::path(get, path = "/v1/models/{model}/artifacts", operation_id = "listModelArtifacts", tag = "Models",
    security(("bearer" = ["models.read"])),
    params(("model" = String, Path, description = "The model's or checkpoint's name")),
    responses((status = 200, description = "All files", body = Page<Artifact>)))]
pub(crate) async fn list(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsRead>,
    name: Path<String>,
    request: HttpRequest,
) -> Result<Json<Page<Artifact>>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.artifacts(&caller, &name).await?))
}

/// Download a model's file
///
/// The `ETag` is the SHA-256 of the content.
#[utoipa::path(get, path = "/v1/models/{model}/artifacts/{name}", operation_id = "downloadModelArtifact", tag = "Models",
    security(("bearer" = ["models.read"])),
    params(
        ("model" = String, Path, description = "The model's or checkpoint's name"),
        ("name" = String, Path, description = "The file's name"),
    ),
    responses((status = 200, description = "The content", body = String, content_type = "application/octet-stream")))]
pub(crate) async fn download(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsRead>,
    path: Path<(String, String)>,
) -> Result<HttpResponse> {
    let (model, name) = path.into_inner();
    let (artifact, stream) = scheduler.artifact(&caller, &model, &name).await?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((CONTENT_LENGTH, artifact.bytes))
        .insert_header((ETAG, format!("\"{}\"", artifact.sha256)))
        .insert_header((CONTENT_DISPOSITION, attachment(&artifact.name)))
        .no_chunking(artifact.bytes)
        .streaming(stream.map_err(|error| std::io::Error::other(error.to_string()))))
}

/// Link to a model's file
///
/// A URL at which the object store itself gives the content, without a key, for a while. Refused with `not_available` where the server
/// keeps its objects in a directory.
#[utoipa::path(get, path = "/v1/models/{model}/artifacts/{name}/link", operation_id = "linkModelArtifact", tag = "Models",
    security(("bearer" = ["models.read"])),
    params(
        ("model" = String, Path, description = "The model's or checkpoint's name"),
        ("name" = String, Path, description = "The file's name"),
    ),
    responses((status = 200, description = "The link", body = Link)))]
pub(crate) async fn link(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsRead>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<Json<Link>> {
    Query::of(&request).finish()?;
    let (model, name) = path.into_inner();
    Ok(Json(scheduler.artifact_link(&caller, &model, &name).await?))
}
