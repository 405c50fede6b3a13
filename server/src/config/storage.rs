//! Settings of where everything is kept.

use std::fs;
use std::path::PathBuf;

use trainyard_scheduler::adapter::redis::RedisOptions;

use super::ConfigError;
use super::layer::settings;

settings! {
    /// Where record, files and models are kept. The URLs choose the backends.
    Storage from StorageLayer, "Storage";
    fixed {
        /// Directory of everything that the server keeps. One process at a time may use it.
        data_dir: PathBuf = "trainyard-data", "TRAINYARD_DATA_DIR";
        /// Queue of tickets; this version takes memory:.
        queue: String = "memory:", "TRAINYARD_QUEUE";
        /// Begins every key of a record in Redis, so that several records can share a server.
        store_namespace: String = "trainyard", "TRAINYARD_STORE_NAMESPACE";
        /// Take a Redis server that may lose what it acknowledged: without 'appendfsync always' or with eviction (true or false).
        store_allow_volatile: bool = "false", "TRAINYARD_STORE_ALLOW_VOLATILE";
        /// Replicas of the Redis server that must have a write before it is acknowledged.
        store_replicas: u32 = "0", "TRAINYARD_STORE_REPLICAS";
    }
    derived {
        /// Record of keys, files and jobs: sqlite:PATH, redis://[USER@]HOST[:PORT][/DATABASE], or rediss:// with TLS.
        store: String = "sqlite:{data-dir}/trainyard.db", "TRAINYARD_STORE";
        /// File with the password of the Redis server, so that no URL has to hold it.
        store_password_file: PathBuf = "none", "TRAINYARD_STORE_PASSWORD_FILE";
        /// File with the certificate authority of the Redis server, in PEM.
        store_ca_file: PathBuf = "those of the system", "TRAINYARD_STORE_CA_FILE";
        /// Contents of files, checkpoints and adapters: file:PATH or s3://BUCKET/PREFIX.
        objects: String = "file:{data-dir}/objects", "TRAINYARD_OBJECTS";
        /// Directory of base models: one folder each, with config.json, tokenizer.json and *.safetensors.
        models_dir: PathBuf = "{data-dir}/models", "TRAINYARD_MODELS_DIR";
    }
}

impl Storage {
    /// The URL of the record.
    pub(crate) fn store_url(&self) -> String {
        let path = || format!("sqlite:{}", self.data_dir.join("trainyard.db").display());
        self.store.clone().unwrap_or_else(path)
    }

    /// What is asked of a Redis server.
    pub(crate) fn redis(&self) -> Result<RedisOptions, ConfigError> {
        let read = |path: &PathBuf| {
            let failed = |source| ConfigError::Read { path: path.clone(), source };
            fs::read(path).map_err(failed)
        };
        let password = match &self.store_password_file {
            None => None,
            Some(path) => {
                let text = String::from_utf8(read(path)?).map_err(|_| {
                    ConfigError::Conflict(format!("'{}' is not in UTF-8", path.display()))
                })?;
                // Editors end a file with a line break; a password has none.
                let password = text.trim_end_matches(['\r', '\n']).to_string();
                if password.is_empty() {
                    let reason = format!("'{}' holds no password", path.display());
                    return Err(ConfigError::Conflict(reason));
                }
                Some(password)
            }
        };
        Ok(RedisOptions {
            password,
            ca_pem: self.store_ca_file.as_ref().map(read).transpose()?,
            namespace: self.store_namespace.clone(),
            allow_volatile: self.store_allow_volatile,
            replicas: self.store_replicas,
        })
    }

    /// The URL of the objects.
    pub(crate) fn objects_url(&self) -> String {
        let path = || format!("file:{}", self.data_dir.join("objects").display());
        self.objects.clone().unwrap_or_else(path)
    }

    /// The directory of base models.
    pub(crate) fn models_dir(&self) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(|| self.data_dir.join("models"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_its_file_without_the_line_break() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("password");
        let storage =
            StorageLayer { store_password_file: Some(path.clone()), ..Default::default() };
        let storage = storage.over(StorageLayer::default()).expect("settings");
        let missing = storage.redis().err().expect("refused").to_string();
        assert!(missing.contains(&path.display().to_string()), "{missing}");
        fs::write(&path, "\n").expect("written");
        let empty = storage.redis().err().expect("refused").to_string();
        assert!(empty.contains("holds no password"), "{empty}");
        fs::write(&path, " a b \r\n").expect("written");
        let options = storage.redis().expect("options");
        assert_eq!(options.password.as_deref(), Some(" a b "));
        assert_eq!((options.namespace.as_str(), options.replicas), ("trainyard", 0));
        assert!(!options.allow_volatile);
    }
}
