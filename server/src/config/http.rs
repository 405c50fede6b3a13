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
        /// Seconds that a request's body may stand still before it is cut off.
        http_body_idle_seconds: u64 = "30", "TRAINYARD_HTTP_BODY_IDLE_SECONDS";
        /// Bytes a second that a body has to bring, counted over each half minute of waiting for it; 0 is no limit.
        http_body_bytes_per_second: u64 = "512", "TRAINYARD_HTTP_BODY_BYTES_PER_SECOND";
        /// Seconds that an idle connection is kept.
        http_keep_alive_seconds: u64 = "75", "TRAINYARD_HTTP_KEEP_ALIVE_SECONDS";
        /// Requests a minute of a tenant whose quota says nothing.
        requests_per_minute: u32 = "6000", "TRAINYARD_REQUESTS_PER_MINUTE";
        /// Requests a minute of one key where the tenant's quota says nothing.
        requests_per_minute_per_key: u32 = "6000", "TRAINYARD_REQUESTS_PER_MINUTE_PER_KEY";
        /// Requests without a valid key that one address may send in a minute.
        bad_credentials_per_minute: u32 = "120", "TRAINYARD_BAD_CREDENTIALS_PER_MINUTE";
        /// Event streams that a tenant may have open at once.
        streams_per_tenant: u32 = "100", "TRAINYARD_STREAMS_PER_TENANT";
    }
    derived {}
}
