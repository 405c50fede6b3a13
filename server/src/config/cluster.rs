//! Settings of processes that share a record: how api and executors find and know each other.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use trainyard_api::ExecutorToken;
use url::Url;

use super::layer::settings;
use super::{ConfigError, content};

settings! {
    /// What executors show to the api.
    Cluster from ClusterLayer, "Cluster";
    fixed {}
    derived {
        /// File with the secret that the api and all executors share: 32 characters or more.
        executor_token_file: PathBuf = "none: it has to be set", "TRAINYARD_EXECUTOR_TOKEN_FILE";
    }
}

settings! {
    /// The listener for executors.
    Internal from InternalLayer, "Listener for executors";
    fixed {
        /// Address and port where executors claim jobs; keep it from clients. Port 0 takes a free one.
        internal_listen: SocketAddr = "127.0.0.1:8421", "TRAINYARD_INTERNAL_LISTEN";
    }
    derived {}
}

settings! {
    /// Where an executor asks for jobs.
    Control from ControlLayer, "Control plane";
    fixed {}
    derived {
        /// Addresses of the api's listeners for executors, with commas between; where one does not answer the next is asked.
        control_plane: String = "none: it has to be set", "TRAINYARD_CONTROL_PLANE";
        /// File with certificates in PEM that they may show, beside those that the system trusts.
        control_plane_ca_file: PathBuf = "none", "TRAINYARD_CONTROL_PLANE_CA_FILE";
    }
}

impl Cluster {
    /// The secret, as executors send it and as the api checks it.
    ///
    /// # Errors
    /// No file, one that cannot be read, or one that holds no good secret. The secret is not in the error.
    pub(crate) fn executor_token(&self) -> Result<(String, ExecutorToken), ConfigError> {
        let Some(path) = &self.executor_token_file else {
            let text = "'executor_token_file' is not set: name a file with the secret that the api and its executors share (--executor-token-file, TRAINYARD_EXECUTOR_TOKEN_FILE), such as one made by `openssl rand -hex 32`";
            return Err(ConfigError::Conflict(text.to_string()));
        };
        let refused = |reason: String| {
            ConfigError::Conflict(format!("'executor_token_file' ('{}'): {reason}", path.display()))
        };
        let text = String::from_utf8(content(path)?)
            .map_err(|_| refused("it is not in UTF-8".to_string()))?;
        // Editors end a file with a line break; a token has none.
        let text = text.trim_end_matches(['\r', '\n']).to_string();
        let token =
            text.parse().map_err(|error: trainyard_api::WeakToken| refused(error.to_string()))?;
        Ok((text, token))
    }
}

impl Control {
    /// The addresses.
    ///
    /// # Errors
    /// None at all, or one that is no URL.
    pub(crate) fn addresses(&self) -> Result<Vec<Url>, ConfigError> {
        let Some(list) = &self.control_plane else {
            let text = "'control_plane' is not set: name the api's listener for executors (--control-plane, TRAINYARD_CONTROL_PLANE), such as http://127.0.0.1:8421";
            return Err(ConfigError::Conflict(text.to_string()));
        };
        let parse = |text: &str| {
            Url::parse(text.trim()).map_err(|error| {
                ConfigError::Conflict(format!("'control_plane' ('{}'): {error}", text.trim()))
            })
        };
        list.split(',').map(parse).collect()
    }

    /// Certificates that it may show.
    pub(crate) fn ca_pem(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        self.control_plane_ca_file.as_deref().map(|path: &Path| content(path)).transpose()
    }
}
