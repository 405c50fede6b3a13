//! The HTTP server around the API's application: limits on connections and time.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer};
use trainyard_api::{ApiOptions, BodyPace, LimitSettings, Limits, Oidc};
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
) -> Result<(Server, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address: http.listen, source };
    let options = ApiOptions {
        limits: Limits::new(LimitSettings {
            requests_per_minute: http.requests_per_minute,
            requests_per_minute_per_key: http.requests_per_minute_per_key,
            bad_credentials_per_minute: http.bad_credentials_per_minute,
            streams_per_tenant: http.streams_per_tenant,
        }),
        tokens,
        body_pace: BodyPace {
            idle: Duration::from_secs(http.http_body_idle_seconds),
            bytes_per_second: http.http_body_bytes_per_second,
            ..BodyPace::default()
        },
        ..ApiOptions::default()
    };
    let server = HttpServer::new(move || {
        App::new().service(trainyard_api::app(scheduler.clone(), options.clone()))
    })
    .workers(http.http_workers)
    .max_connections(http.http_connections_max.div_ceil(http.http_workers))
    .client_request_timeout(Duration::from_secs(http.http_header_seconds))
    .keep_alive(Duration::from_secs(http.http_keep_alive_seconds))
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(http.listen)
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(http.listen);
    Ok((server.run(), address))
}
