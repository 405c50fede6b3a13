//! Where the key set of the tokens' issuer comes from: an address, or a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::io::AsyncReadExt;
use trainyard_api::{JWKS_BYTES_MAX, JwksSource, Oidc};

use super::ServeError;
use crate::client::is_loopback;
use crate::config::{KeySet, Oidc as OidcConfig};

/// From the look-up of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What checks tokens, with its keys; `None` where no issuer is set. A file that cannot be read ends the start; an issuer that
/// does not answer is asked again later.
pub(super) async fn tokens(config: &OidcConfig) -> Result<Option<Oidc>, ServeError> {
    let Some((settings, keys)) = config.issuer()? else { return Ok(None) };
    let issuer = settings.issuer.clone();
    match keys {
        KeySet::File(path) => {
            let source = Arc::new(File(path.clone()));
            let oidc = Oidc::new(settings, source);
            oidc.load().await.map_err(|reason| ServeError::KeySet { path, reason })?;
            Ok(Some(oidc))
        }
        KeySet::Url(url) => {
            let oidc = Oidc::new(settings, Arc::new(Address::new(url)?));
            if let Err(reason) = oidc.load().await {
                tracing::warn!(issuer, reason, "the issuer's keys could not be fetched yet");
            }
            Ok(Some(oidc))
        }
    }
}

struct File(PathBuf);

#[async_trait::async_trait]
impl JwksSource for File {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("'{}': {error}", self.0.display());
        let file = tokio::fs::File::open(&self.0).await.map_err(failed)?;
        let mut bytes = Vec::new();
        // One more than is allowed, so that a larger one is noticed.
        let limit = JWKS_BYTES_MAX as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).await.map_err(failed)?;
        Ok(bytes)
    }
}

struct Address {
    url: reqwest::Url,
    http: reqwest::Client,
}

impl Address {
    fn new(url: reqwest::Url) -> Result<Self, ServeError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT);
        if is_loopback(&url) {
            // A proxy cannot reach this machine's own loopback address.
            builder = builder.no_proxy();
        }
        Ok(Self { url, http: builder.build().map_err(ServeError::Issuer)? })
    }
}

#[async_trait::async_trait]
impl JwksSource for Address {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let failed = |error: reqwest::Error| crate::chain(&error);
        let mut response = self.http.get(self.url.clone()).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("{} answers {}", self.url, response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > JWKS_BYTES_MAX {
                return Err(format!("{} answers more than {JWKS_BYTES_MAX} bytes", self.url));
            }
        }
        Ok(bytes)
    }
}
