//! Settings of the listener for Prometheus.

use std::net::SocketAddr;

use super::layer::settings;

settings! {
    /// The listener for Prometheus.
    Metrics from MetricsLayer, "Metrics";
    fixed {}
    derived {
        /// Address and port that answer GET /metrics and GET /healthz without a key, such as 127.0.0.1:9464; keep them from clients. Port 0 takes a free one.
        metrics_listen: SocketAddr = "none: no metrics", "TRAINYARD_METRICS_LISTEN";
    }
}
