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
}
