//! How the server is reached and what is asked of it.

use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};
use url::Url;

/// Settings beside the URL.
#[derive(Clone)]
pub struct RedisOptions {
    /// The password, where the URL does not hold it.
    pub password: Option<String>,
    /// A certificate authority in PEM for `rediss:` instead of those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// Begins every key, so that several records can share a server.
    pub namespace: String,
    /// Takes a server that may lose what it acknowledged.
    pub allow_volatile: bool,
    /// Replicas that must have a write before it is acknowledged.
    pub replicas: u32,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let namespace = "trainyard".to_string();
        Self { password: None, ca_pem: None, namespace, allow_volatile: false, replicas: 0 }
    }
}

impl RedisOptions {
    /// What every key begins with. One hash tag for the whole record: a commit writes the tenant's job beside what is every
    /// tenant's (live jobs, the outbox, ids that are unique among all), so its keys must share a slot.
    pub(super) fn prefix(&self) -> Result<String, String> {
        let word = &self.namespace;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if word.is_empty() || word.len() > 40 || !word.chars().all(fits) {
            return Err(format!(
                "the namespace '{word}' must be 1 to 40 letters, digits, '-' or '_'"
            ));
        }
        Ok(format!("{{{word}}}"))
    }

    /// The client for `url`.
    pub(super) fn client(&self, url: &str) -> Result<Client, String> {
        let info = self.connection(url)?;
        let client = match &self.ca_pem {
            Some(pem) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) },
            ),
            None => Client::open(info),
        };
        client.map_err(|error| error.to_string())
    }

    fn connection(&self, url: &str) -> Result<ConnectionInfo, String> {
        const SHAPE: &str = "redis://[user[:password]@]host[:port][/database]";
        let parsed = Url::parse(url).map_err(|error| format!("{error}; expected {SHAPE}"))?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(format!("takes no '?' or '#'; expected {SHAPE}"));
        }
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err(format!("names no host; expected {SHAPE}"));
        }
        if self.ca_pem.is_some() && parsed.scheme() != "rediss" {
            return Err("a certificate authority needs rediss://".to_string());
        }
        if self.password.is_some() && parsed.password().is_some() {
            return Err("has a password, and another one is given beside it".to_string());
        }
        let info = parsed.into_connection_info().map_err(|error| error.to_string())?;
        let mut redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        Ok(info.set_redis_settings(redis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_what_does() {
        let options = RedisOptions { password: Some("p".into()), ..RedisOptions::default() };
        assert!(options.client("redis://h:1").is_ok());
        for (url, reason) in [
            ("redis://", "host"),
            ("redis://h/x", "database"),
            ("redis://h?db=1", "'?'"),
            ("redis://:q@h", "another one"),
        ] {
            let refusal = options.client(url).expect_err(url);
            assert!(refusal.to_lowercase().contains(reason), "{url}: {refusal}");
        }
        for namespace in ["", "a b", "{a}", "a:b"] {
            let options = RedisOptions { namespace: namespace.into(), ..RedisOptions::default() };
            assert!(options.prefix().is_err(), "{namespace}");
        }
    }
}
