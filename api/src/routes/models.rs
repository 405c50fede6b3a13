//! Models: bases and results.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use trainyard_openapi::file::Deleted;
use trainyard_openapi::model::{Model, ModelLineage};
use trainyard_openapi::page::Page;
use trainyard_scheduler::Scheduler;

use crate::auth::{Caller, ModelsRead, ModelsWrite};
use crate::error::Result;
use crate::query::Query;

/// List models
///
/// Base models that jobs can start from, then the tenant's own fine-tuned models.
#[utoipa::path(get, path = "/v1/models", operation_id = "listModels", tag = "Models",
    security(("bearer" = ["models.read"])),
    responses((status = 200, description = "All models", body = Page<Model>)))]
pub(crate) async fn list(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsRead>,
    request: HttpRequest,
) -> Result<Json<Page<Model>>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.models(&caller).await?))
}

/// Retrieve a model
///
/// A base model or a fine-tuned model of the tenant.
#[utoipa::path(get, path = "/v1/models/{model}", operation_id = "retrieveModel", tag = "Models",
    security(("bearer" = ["models.read"])),
    params(("model" = String, Path, description = "The model's name")),
    responses((status = 200, description = "The model", body = Model)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsRead>,
    name: Path<String>,
) -> Result<Json<Model>> {
    Ok(Json(scheduler.model(&caller, &name).await?))
}

/// Retrieve a model's lineage
///
/// What it came of, and what came of it: a graph of models, jobs and datasets. A job was `trained_on` and `validated_on` datasets and
/// `continues` a model; a model was `made_by` a job. An answer has 1000 nodes at most, and says `truncated` where there are more.
#[utoipa::path(get, path = "/v1/models/{model}/lineage", operation_id = "retrieveModelLineage", tag = "Models",
    security(("bearer" = ["models.read"])),
    params(("model" = String, Path, description = "The model's name, or a checkpoint's; also one that was deleted")),
    responses((status = 200, description = "The graph", body = ModelLineage)))]
pub(crate) async fn lineage(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsRead>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<Json<ModelLineage>> {
    Query::of(&request).finish()?;
    Ok(Json(scheduler.model_lineage(&caller, &name).await?))
}

/// Delete a fine-tuned model
///
/// With its files. Base models are the operator's and cannot be deleted here.
#[utoipa::path(delete, path = "/v1/models/{model}", operation_id = "deleteModel", tag = "Models",
    security(("bearer" = ["models.write"])),
    params(("model" = String, Path, description = "The model's name")),
    responses((status = 200, description = "It is gone", body = Deleted)))]
pub(crate) async fn remove(
    scheduler: Data<Scheduler>,
    caller: Caller<ModelsWrite>,
    name: Path<String>,
) -> Result<Json<Deleted>> {
    Ok(Json(scheduler.delete_model(&caller, &name).await?))
}
