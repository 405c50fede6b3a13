//! Settings of the HTTP listener.

use std::net::SocketAddr;

use super::layer::settings;

settings! {
    /// The HTTP listener.
    Http from HttpLayer, "HTTP";
    fixed {
        /// Address and port to listen on; port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:8420", "TRAINYARD_LISTEN";
        /// Threads that answer requests.
        http_workers: usize = "2", "TRAINYARD_HTTP_WORKERS";
        /// Connections held at once; more wait.
        http_connections_max: usize = "1024", "TRAINYARD_HTTP_CONNECTIONS_MAX";
        /// Seconds in which a client has to send a request's head.
        http_header_seconds: u64 = "10", "TRAINYARD_HTTP_HEADER_SECONDS";
        /// Seconds that an idle connection is kept.
        http_keep_alive_seconds: u64 = "75", "TRAINYARD_HTTP_KEEP_ALIVE_SECONDS";
    }
    derived {}
}
