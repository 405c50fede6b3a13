//! The control plane over HTTP: how executors of other processes claim jobs and speak of them. For a listener of its own, which clients
//! do not reach; it is no part of the public API and of its document.
//!
//! Claims and presence need the executors' shared token. A claim's answer brings a token that is good for that claim alone, and all
//! further calls about it need that one: an executor can act for no job but those that it was given.

mod caller;
mod routes;

use actix_web::dev::HttpServiceFactory;
use actix_web::middleware::from_fn;
use actix_web::web::{self, post, resource};
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::port::lease_call;

use crate::metrics::Metrics;
use crate::middleware::{self, BodyPace};
use crate::routes::{docs, health};
pub use caller::{ExecutorToken, WeakToken};

/// Bytes of a body: a report after a long silence of the control plane has some megabytes of steps.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Settings of the control plane over HTTP.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// What executors show to claim jobs.
    pub executor_token: ExecutorToken,
    /// How slow a body may be.
    pub body_pace: BodyPace,
    /// What is counted, together with the API beside it.
    pub metrics: Metrics,
}

/// The control plane of `scheduler` as a scope, with the health checks beside it.
pub fn leases(scheduler: Scheduler, options: LeaseOptions) -> impl HttpServiceFactory {
    let LeaseOptions { executor_token, body_pace, metrics } = options;
    let (spans, prefix) = (middleware::Spans::Continued, String::new());
    let contract = middleware::Contract { pace: body_pace, metrics, spans, prefix };
    let calls = web::scope(lease_call::ROOT)
        .service(resource(lease_call::EXECUTOR).route(post().to(routes::enlist)))
        .service(resource(lease_call::CLAIM).route(post().to(routes::claim)))
        .service(
            web::scope(lease_call::LEASE)
                .service(resource("/heartbeat").route(post().to(routes::heartbeat)))
                .service(resource("/directive").route(post().to(routes::directive)))
                .service(resource("/report").route(post().to(routes::report)))
                .service(resource("/checkpoint").route(post().to(routes::checkpoint)))
                .service(resource("/reserve").route(post().to(routes::reserve)))
                .service(resource("/settle").route(post().to(routes::settle)))
                .service(resource("/complete").route(post().to(routes::complete)))
                .service(resource("/fail").route(post().to(routes::fail)))
                .service(resource("/release").route(post().to(routes::release))),
        );
    web::scope("")
        .app_data(web::Data::new(scheduler))
        .app_data(web::Data::new(executor_token))
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .service(calls)
        .service(resource("/healthz/live").route(web::get().to(health::live)))
        .service(resource("/healthz/ready").route(web::get().to(health::ready)))
        .default_service(web::to(docs::no_such_path))
        .wrap(from_fn(move |request, next| middleware::contract(contract.clone(), request, next)))
}
