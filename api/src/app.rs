//! The application as a scope to mount.

use actix_web::dev::HttpServiceFactory;
use actix_web::{middleware::from_fn, web};
use trainyard_openapi::limits::BODY_BYTES_MAX;
use trainyard_scheduler::Scheduler;

use crate::auth::{Authenticator, Oidc};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::middleware::BodyPace;
use crate::routes::stream::{StreamTimes, Streams};
use crate::{doc, idempotency, middleware, router};

/// Settings of the API.
///
/// Time limits on heads and idle connections belong to the `HttpServer` around it: set `client_request_timeout` and `keep_alive`
/// there.
#[derive(Debug, Clone, Default)]
pub struct ApiOptions {
    /// The path that the API is mounted under, such as `/training`; empty for the root.
    pub prefix: String,
    /// Rate limits and what has been used of them: made once, and cloned for each thread of a server.
    pub limits: Limits,
    /// What checks bearer tokens beside API keys; without it tokens are refused. Made once, as the limits are.
    pub tokens: Option<Oidc>,
    /// How slow a body may be.
    pub body_pace: BodyPace,
    /// When event streams speak and look at their credential.
    pub stream_times: StreamTimes,
    /// What is counted: made once, as the limits are, which count into them too.
    pub metrics: Metrics,
}

/// Where the API is mounted, for those of its parts that have to say so.
pub(crate) struct Mount {
    /// The path before `/v1`; empty at the root.
    pub(crate) prefix: String,
    /// The document with the right server in it.
    pub(crate) document: String,
}

/// The whole API over `scheduler`.
pub fn app(scheduler: Scheduler, options: ApiOptions) -> impl HttpServiceFactory {
    let prefix = options.prefix.trim_end_matches('/').to_string();
    let mount = Mount { document: doc::json_at(&prefix), prefix };
    let authenticator = Authenticator::new(scheduler.clone(), options.tokens);
    let streams = Streams {
        scheduler: scheduler.clone(),
        authenticator: authenticator.clone(),
        limits: options.limits.clone(),
        times: options.stream_times,
    };
    let contract = middleware::Contract {
        pace: options.body_pace,
        metrics: options.metrics,
        spans: middleware::Spans::All,
        prefix: mount.prefix.clone(),
    };
    let scope = web::scope(&mount.prefix);
    let scope = scope
        .app_data(web::Data::new(mount))
        .app_data(web::Data::new(scheduler.clone()))
        .app_data(web::Data::new(authenticator.clone()))
        .app_data(web::Data::new(options.limits))
        .app_data(web::Data::new(streams))
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX));
    router::routes(scope)
        .wrap(from_fn(move |request, next| {
            idempotency::once(scheduler.clone(), authenticator.clone(), request, next)
        }))
        .wrap(from_fn(move |request, next| middleware::contract(contract.clone(), request, next)))
}
