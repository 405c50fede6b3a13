//! The HTTP server around the API's application: limits on connections and time.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use trainyard_api::{
    ApiOptions, BodyPace, ExecutorToken, LeaseOptions, LimitSettings, Limits, Metrics, Oidc,
};
use trainyard_scheduler::Scheduler;

use super::ServeError;
use crate::config::Http;

/// How long answers that are under way may take once the server stops.
const SHUTDOWN_SECONDS: u64 = 5;

/// Binds the address and makes the server; it answers once it is awaited. Gives the address with its port.
pub(crate) fn listen(
    scheduler: Scheduler,
    http: &Http,
    tokens: Option<Oidc>,
    metrics: &Metrics,
) -> Result<(Server, SocketAddr), ServeError> {
    let settings = LimitSettings {
        requests_per_minute: http.requests_per_minute,
        requests_per_minute_per_key: http.requests_per_minute_per_key,
        bad_credentials_per_minute: http.bad_credentials_per_minute,
        streams_per_tenant: http.streams_per_tenant,
    };
    let options = ApiOptions {
        limits: Limits::counted(settings, metrics.clone()),
        tokens,
        body_pace: pace(http),
        metrics: metrics.clone(),
        ..ApiOptions::default()
    };
    start(http, http.listen, move |config| {
        config.service(trainyard_api::app(scheduler.clone(), options.clone()));
    })
}

/// The same for the listener that executors speak to, under the limits of `http`.
pub(crate) fn internal(
    scheduler: Scheduler,
    http: &Http,
    address: SocketAddr,
    executor_token: ExecutorToken,
    metrics: &Metrics,
) -> Result<(Server, SocketAddr), ServeError> {
    let metrics = metrics.clone();
    let options = LeaseOptions { executor_token, body_pace: pace(http), metrics };
    start(http, address, move |config| {
        config.service(trainyard_api::leases(scheduler.clone(), options.clone()));
    })
}

fn pace(http: &Http) -> BodyPace {
    BodyPace {
        idle: Duration::from_secs(http.http_body_idle_seconds),
        bytes_per_second: http.http_body_bytes_per_second,
        ..BodyPace::default()
    }
}

/// A server of what `mount` puts into each of its threads' applications.
fn start(
    http: &Http,
    address: SocketAddr,
    mount: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<(Server, SocketAddr), ServeError> {
    let server = HttpServer::new(move || App::new().configure(mount.clone()))
        .workers(http.http_workers)
        .max_connections(http.http_connections_max.div_ceil(http.http_workers))
        .client_request_timeout(Duration::from_secs(http.http_header_seconds))
        .keep_alive(Duration::from_secs(http.http_keep_alive_seconds))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .bind(address)
        .map_err(|source| ServeError::Listen { address, source })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}
