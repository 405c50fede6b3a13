//! Where the broker is, without ever showing the password.

use std::fmt;

use lapin::uri::AMQPUri;

use crate::adapter::without_password;

/// Seconds between signs of life; a peer that gives none for two of them is gone. The broker's own default is a minute.
const HEARTBEAT_SECONDS: u16 = 15;

/// A broker's address with credentials.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    shown: String,
}

impl Address {
    /// Reads a URL. Without a path, or with `/` alone, the virtual host is `/`.
    ///
    /// # Errors
    /// A URL that is none.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|error| error.to_string())?;
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err("it names no host: expected amqp://USER@HOST/VHOST".to_string());
        }
        let mut uri: AMQPUri = url.parse()?;
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_string();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self { uri, shown: without_password(url) })
    }

    /// For the client.
    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
