//! The HTTP face of the scheduler: OpenAI's fine-tuning API and what stands beside it.
//!
//! HTTP only: each handler takes a request apart, calls the scheduler, and wraps its answer. [`app`] can be mounted in any actix
//! application.

mod app;
mod auth;
pub mod doc;
mod error;
mod idempotency;
mod leases;
mod limits;
mod metrics;
mod middleware;
mod query;
mod router;
mod routes;

pub use app::{ApiOptions, app};
pub use auth::{Algorithms, JWKS_BYTES_MAX, JwksSource, Oidc, OidcSettings};
pub use doc::openapi;
pub use leases::{ExecutorToken, LeaseOptions, WeakToken, leases};
pub use limits::{LimitSettings, Limits};
pub use metrics::Metrics;
pub use middleware::BodyPace;
pub use routes::StreamTimes;
