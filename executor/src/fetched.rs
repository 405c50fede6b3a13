//! Files of the object store on a run's disk, each once, however many stages read it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use trainyard_plan::trainer::{ContinualFiles, NamedFile, StageFiles};
use trainyard_scheduler::port::control_plane::{ContinualInputs, InputFile, ParentInput};
use trainyard_scheduler::port::objects::Objects;

use crate::inputs::{InputError, fetch_directory};

/// The files of a run that have been brought.
pub(crate) struct Fetched<'a> {
    directory: PathBuf,
    objects: &'a dyn Objects,
    /// Where each lies, by its key in the object store.
    there: BTreeMap<String, PathBuf>,
}

impl<'a> Fetched<'a> {
    /// Nothing yet, into a directory that is there.
    pub(crate) const fn into(directory: PathBuf, objects: &'a dyn Objects) -> Self {
        Self { directory, objects, there: BTreeMap::new() }
    }

    /// Brings a file. Its name on the disk is a number: what a user calls it need not be a file name.
    pub(crate) async fn file(&mut self, file: &InputFile) -> Result<NamedFile, InputError> {
        let name = file.filename.clone();
        if let Some(path) = self.there.get(&file.key) {
            return Ok(NamedFile { path: path.clone(), name });
        }
        let path = self.directory.join(format!("file-{:04}.jsonl", self.there.len()));
        self.objects.get_file(&file.key, &path).await?;
        self.there.insert(file.key.clone(), path.clone());
        Ok(NamedFile { path, name })
    }

    /// Brings the files of a job's stages, and the result that it goes on from.
    pub(crate) async fn continual(
        &mut self,
        wanted: &ContinualInputs,
    ) -> Result<ContinualFiles, InputError> {
        let mut stages = Vec::new();
        for stage in &wanted.stages {
            let training = self.file(&stage.training).await?;
            let validation = self.optional(stage.validation.as_ref()).await?;
            stages.push(StageFiles { training, validation });
        }
        let held_out = self.optional(wanted.held_out.as_ref()).await?;
        let mut earlier = BTreeMap::new();
        for (sha256, file) in &wanted.earlier {
            match self.file(file).await {
                Ok(file) => {
                    earlier.insert(sha256.clone(), file);
                }
                // Deleted since the claim: as if it had been before.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let parent = match &wanted.parent {
            None => None,
            Some(ParentInput { prefix, manifest_sha256 }) => {
                let directory = self.directory.join("parent");
                let what = "the model that the job goes on from";
                fetch_directory(what, prefix, manifest_sha256, &directory, self.objects).await?;
                Some(directory)
            }
        };
        Ok(ContinualFiles { stages, held_out, parent, earlier })
    }

    async fn optional(
        &mut self,
        file: Option<&InputFile>,
    ) -> Result<Option<NamedFile>, InputError> {
        match file {
            Some(file) => self.file(file).await.map(Some),
            None => Ok(None),
        }
    }
}
