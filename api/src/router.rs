//! All routes on one screen.

use actix_web::web::{delete, get, post, resource, scope};
use actix_web::{Scope, web};

use crate::routes::{
    artifacts, docs, erasures, files, health, jobs, models, privacy, tenants, uploads, usage,
    webhooks,
};

/// The routes.
pub(crate) fn routes(root: Scope) -> Scope {
    let v1 = scope("/v1")
        .service(resource("/files").route(get().to(files::list)).route(post().to(files::create)))
        .service(
            resource("/files/{file_id}")
                .route(get().to(files::retrieve))
                .route(delete().to(files::remove)),
        )
        .service(resource("/files/{file_id}/content").route(get().to(files::content)))
        .service(resource("/files/{file_id}/link").route(get().to(files::link)))
        .service(resource("/files/{file_id}/lineage").route(get().to(erasures::lineage)))
        .service(
            resource("/files/{file_id}/privacy")
                .route(get().to(privacy::retrieve))
                .route(post().to(privacy::set)),
        )
        .service(resource("/erasures/{erasure_id}").route(get().to(erasures::retrieve)))
        .service(
            resource("/fine_tuning/jobs")
                .route(get().to(jobs::list))
                .route(post().to(jobs::create)),
        )
        .service(resource("/fine_tuning/jobs/preflight").route(post().to(jobs::preflight)))
        .service(resource("/fine_tuning/jobs/{fine_tuning_job_id}").route(get().to(jobs::retrieve)))
        .service(
            resource("/fine_tuning/jobs/{fine_tuning_job_id}/cancel")
                .route(post().to(jobs::cancel)),
        )
        .service(
            resource("/fine_tuning/jobs/{fine_tuning_job_id}/pause").route(post().to(jobs::pause)),
        )
        .service(
            resource("/fine_tuning/jobs/{fine_tuning_job_id}/resume")
                .route(post().to(jobs::resume)),
        )
        .service(
            resource("/fine_tuning/jobs/{fine_tuning_job_id}/events").route(get().to(jobs::events)),
        )
        .service(
            resource("/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints")
                .route(get().to(jobs::checkpoints)),
        )
        .service(resource("/models").route(get().to(models::list)))
        .service(
            resource("/models/{model}")
                .route(get().to(models::retrieve))
                .route(delete().to(models::remove)),
        )
        .service(resource("/models/{model}/lineage").route(get().to(models::lineage)))
        .service(resource("/models/{model}/artifacts").route(get().to(artifacts::list)))
        .service(resource("/models/{model}/artifacts/{name}").route(get().to(artifacts::download)))
        .service(
            resource("/models/{model}/artifacts/{name}/link").route(get().to(artifacts::link)),
        );
    let v1 = v1
        .service(resource("/uploads").route(post().to(uploads::create)))
        .service(resource("/uploads/{upload_id}/parts").route(post().to(uploads::add_part)))
        .service(resource("/uploads/{upload_id}/complete").route(post().to(uploads::complete)))
        .service(resource("/uploads/{upload_id}/cancel").route(post().to(uploads::cancel)));
    let v1 = v1
        .service(resource("/usage").route(get().to(usage::retrieve)))
        .service(
            resource("/admin/tenants")
                .route(get().to(tenants::list))
                .route(post().to(tenants::create)),
        )
        .service(
            resource("/admin/tenants/{tenant_id}")
                .route(get().to(tenants::retrieve))
                .route(post().to(tenants::update))
                .route(delete().to(tenants::remove)),
        )
        .service(
            resource("/admin/tenants/{tenant_id}/keys")
                .route(get().to(tenants::keys))
                .route(post().to(tenants::create_key)),
        )
        .service(
            resource("/admin/tenants/{tenant_id}/keys/{key_id}")
                .route(get().to(tenants::retrieve_key))
                .route(delete().to(tenants::revoke_key)),
        )
        .service(
            resource("/admin/tenants/{tenant_id}/keys/{key_id}/rotate")
                .route(post().to(tenants::rotate_key)),
        )
        .service(resource("/admin/tenants/{tenant_id}/audit").route(get().to(tenants::audit)));
    let v1 = v1
        .service(
            resource("/webhooks")
                .route(get().to(webhooks::list))
                .route(post().to(webhooks::create)),
        )
        .service(
            resource("/webhooks/{webhook_id}")
                .route(get().to(webhooks::retrieve))
                .route(post().to(webhooks::update))
                .route(delete().to(webhooks::remove)),
        )
        .service(
            resource("/webhooks/{webhook_id}/rotate_secret")
                .route(post().to(webhooks::rotate_secret)),
        )
        .service(resource("/webhooks/{webhook_id}/test").route(post().to(webhooks::test)))
        .service(
            resource("/webhooks/{webhook_id}/deliveries").route(get().to(webhooks::deliveries)),
        );
    root.service(v1)
        .service(resource("/healthz/live").route(get().to(health::live)))
        .service(resource("/healthz/ready").route(get().to(health::ready)))
        .service(resource("/openapi.json").route(get().to(docs::document)))
        .service(resource("/docs").route(get().to(docs::page)))
        .default_service(web::to(docs::no_such_path))
}
