//! Settings of where everything is kept.

use std::path::PathBuf;

use super::layer::settings;

settings! {
    /// Where record, files and models are kept. The URLs choose the backends.
    Storage from StorageLayer, "Storage";
    fixed {
        /// Directory of everything that the server keeps. One process at a time may use it.
        data_dir: PathBuf = "trainyard-data", "TRAINYARD_DATA_DIR";
        /// Queue of tickets; this version takes memory:.
        queue: String = "memory:", "TRAINYARD_QUEUE";
    }
    derived {
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
