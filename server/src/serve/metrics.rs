//! The listener for Prometheus: what the parts of this process count, on an address of its own and without a key. Nothing in an answer
//! waits for a store, so that it is a probe of the process too.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use prometheus::{Encoder, IntGaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder};

use super::ServeError;

/// Commit that this program was built of; a build that is told none says so.
const REVISION: &str = match option_env!("TRAINYARD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Connections held at once.
const CONNECTIONS_MAX: usize = 64;

type Refresh = Arc<dyn Fn() + Send + Sync>;

/// Answers at `address`, where there is one, with what `fill` registers, until the process ends. `refresh` is called before each
/// scrape and must not wait.
///
/// # Errors
/// Where the address cannot be had, or two metrics have one name.
pub(super) fn start(
    address: Option<SocketAddr>,
    fill: impl FnOnce(&Registry) -> prometheus::Result<()>,
    refresh: impl Fn() + Send + Sync + 'static,
) -> Result<(), ServeError> {
    let Some(address) = address else { return Ok(()) };
    let registry = Registry::new();
    let opts = Opts::new("trainyard_build_info", "The program that runs; always 1.");
    let build = IntGaugeVec::new(opts, &["version", "revision"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
    registry.register(Box::new(build))?;
    fill(&registry)?;
    let refresh: Refresh = Arc::new(refresh);
    let (registry, refresh) = (Data::new(registry), Data::new(refresh));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(registry.clone())
            .app_data(refresh.clone())
            .route("/metrics", web::get().to(scrape))
            .route("/healthz", web::get().to(health))
    })
    .workers(1)
    .max_connections(CONNECTIONS_MAX)
    .disable_signals()
    .bind(address)
    .map_err(|source| ServeError::Listen { address, source })?;
    let address = server.addrs().first().copied().unwrap_or(address);
    tracing::info!(%address, "metrics");
    let server = server.run();
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the listener for metrics failed");
        }
    });
    Ok(())
}

async fn scrape(registry: Data<Registry>, refresh: Data<Refresh>) -> HttpResponse {
    refresh();
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => HttpResponse::Ok().insert_header((CONTENT_TYPE, TEXT_FORMAT)).body(text),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics were not written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

async fn health() -> &'static str {
    "ok\n"
}
