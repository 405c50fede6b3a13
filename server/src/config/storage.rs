//! Settings of where everything is kept.

use std::fs;
use std::path::PathBuf;

use url::Url;

use super::ConfigError;
use super::layer::settings;

settings! {
    /// Where record, files and models are kept. The URLs choose the backends.
    Storage from StorageLayer, "Storage";
    fixed {
        /// Directory of everything that the server keeps. One process at a time may use it.
        data_dir: PathBuf = "trainyard-data", "TRAINYARD_DATA_DIR";
        /// Queue of tickets: memory:, or RabbitMQ at amqp://USER@HOST/VHOST (with TLS amqps://), a virtual host of its own for each record.
        queue: String = "memory:", "TRAINYARD_QUEUE";
    }
    derived {
        /// File with the password of the queue's user, so that no command line shows it.
        queue_password_file: PathBuf = "the password in the URL", "TRAINYARD_QUEUE_PASSWORD_FILE";
        /// Record of keys, files and jobs; this version takes sqlite:PATH.
        store: String = "sqlite:{data-dir}/trainyard.db", "TRAINYARD_STORE";
        /// Contents of files, checkpoints and adapters; this version takes file:PATH.
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
        if url.username().is_empty()
            || url.set_password(Some(password.trim_end_matches(['\r', '\n']))).is_err()
        {
            return refuse("is set, and 'queue' names no user");
        }
        Ok(url.into())
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
