//! Settings of where everything is kept.

use std::fs;
use std::path::PathBuf;

use trainyard_scheduler::adapter::redis::RedisOptions;
use url::Url;

use super::layer::settings;
use super::{ConfigError, content};

settings! {
    /// Where record, files and models are kept. The URLs choose the backends.
    Storage from StorageLayer, "Storage";
    fixed {
        /// Directory of everything that the server keeps. One process at a time may use it.
        data_dir: PathBuf = "trainyard-data", "TRAINYARD_DATA_DIR";
        /// Queue of tickets: memory:, or RabbitMQ at amqp://USER@HOST/VHOST (with TLS amqps://), a virtual host of its own for each record.
        queue: String = "memory:", "TRAINYARD_QUEUE";
        /// Begins every key of a record in Redis, so that several records can share a server.
        store_namespace: String = "trainyard", "TRAINYARD_STORE_NAMESPACE";
        /// Take a Redis server that may lose what it acknowledged: without 'appendfsync always' or with eviction (true or false).
        store_allow_volatile: bool = "false", "TRAINYARD_STORE_ALLOW_VOLATILE";
        /// Seconds that a link to an object in S3 works; at most a week.
        link_seconds: u64 = "900", "TRAINYARD_LINK_SECONDS";
        /// Replicas of the Redis server that must have a write before it is acknowledged.
        store_replicas: u32 = "0", "TRAINYARD_STORE_REPLICAS";
    }
    derived {
        /// File with the password of the queue's user, so that no command line shows it.
        queue_password_file: PathBuf = "the password in the URL", "TRAINYARD_QUEUE_PASSWORD_FILE";
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

    /// The URL of the queue, with the password of the file.
    ///
    /// # Errors
    /// A file that cannot be read, or a URL that has no place for its password.
    pub(crate) fn queue_url(&self) -> Result<String, ConfigError> {
        let Some(path) = &self.queue_password_file else { return Ok(self.queue.clone()) };
        let refuse = |reason: &str| {
            Err(ConfigError::Conflict(format!(
                "'queue_password_file' ('{}') {reason}",
                path.display()
            )))
        };
        let password = match fs::read_to_string(path) {
            Ok(password) => password,
            Err(error) => return refuse(&format!("cannot be read: {error}")),
        };
        let Ok(mut url) = Url::parse(&self.queue) else {
            return refuse("is set, and 'queue' is no URL with a user");
        };
        if url.password().is_some() {
            return refuse("is set, and 'queue' has a password too: leave out one of them");
        }
        // The one character that a password may hold and that is not escaped for us.
        let password = password.trim_end_matches(['\r', '\n']).replace('%', "%25");
        if url.username().is_empty() || url.set_password(Some(&password)).is_err() {
            return refuse("is set, and 'queue' names no user");
        }
        Ok(url.into())
    }

    /// What is asked of a Redis server.
    pub(crate) fn redis(&self) -> Result<RedisOptions, ConfigError> {
        let password = match &self.store_password_file {
            None => None,
            Some(path) => {
                let text = String::from_utf8(content(path)?).map_err(|_| {
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
            ca_pem: self.store_ca_file.as_deref().map(content).transpose()?,
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
    use std::io::Write;

    use super::*;
    use crate::config::Layers;

    fn queue_url(queue: &str, password: &str) -> Result<String, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(password.as_bytes()).expect("written");
        let mut layers = Layers::default();
        layers.storage.queue = Some(queue.to_string());
        layers.storage.queue_password_file = Some(file.path().to_path_buf());
        let storage = layers.storage.over(StorageLayer::default()).expect("settings");
        storage.queue_url().map_err(|error| error.to_string())
    }

    #[test]
    fn the_password_of_a_file_is_escaped_into_the_url() {
        let url = queue_url("amqp://user@host:5671/v", "a%41/:@?#é\n").expect("a URL");
        assert_eq!(url, "amqp://user:a%2541%2F%3A%40%3F%23%C3%A9@host:5671/v");
        for (queue, reason) in [
            ("amqp://user:word@host/", "has a password too"),
            ("amqp://host/", "names no user"),
            ("memory:", "names no user"),
            ("nothing", "is no URL"),
        ] {
            let said = queue_url(queue, "secret").expect_err("refused");
            assert!(said.contains(reason) && !said.contains("secret"), "{said}");
        }
    }

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
