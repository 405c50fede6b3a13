//! `trainyard models download`: the files of a model, each checked against the announced SHA-256 before it gets its name.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use trainyard_openapi::model::Artifact;
use trainyard_openapi::page::Page;

use crate::client::{Client, ClientError, read};

/// Downloads every file of `model` into `out`, which is made where it is missing; gives what was written.
pub(crate) async fn download(
    client: &Client,
    model: &str,
    out: &Path,
) -> Result<Vec<(Artifact, PathBuf)>, ClientError> {
    let answer = client.get(&["models", model, "artifacts"], &[]).await?;
    let page: Page<Artifact> = read(&answer)?;
    let made = tokio::fs::create_dir_all(out).await;
    made.map_err(ClientError::file(format!("cannot make '{}'", out.display())))?;
    let mut written = Vec::new();
    for artifact in page.data {
        let path = out.join(plain_name(&artifact.name)?);
        if let Err(error) = fetch(client, model, &artifact, &path).await {
            let _ = tokio::fs::remove_file(partial(&path)).await;
            return Err(error);
        }
        written.push((artifact, path));
    }
    Ok(written)
}

/// The name, if it stays inside the directory that was asked for.
fn plain_name(name: &str) -> Result<&str, ClientError> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name != "." && name != ".." && name.chars().all(letters) {
        return Ok(name);
    }
    Err(ClientError::Answer(format!("'{name}' is no plain file name")))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

async fn fetch(
    client: &Client,
    model: &str,
    artifact: &Artifact,
    path: &Path,
) -> Result<(), ClientError> {
    let failed = || ClientError::file(format!("cannot write '{}'", path.display()));
    let mut response = client.download(&["models", model, "artifacts", &artifact.name]).await?;
    let mut file = tokio::fs::File::create(partial(path)).await.map_err(failed())?;
    let mut digest = Sha256::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| ClientError::Answer(error.to_string()))?
    {
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(failed())?;
    }
    file.sync_all().await.map_err(failed())?;
    let actual = hex::encode(digest.finalize());
    if actual != artifact.sha256 {
        let (name, expected) = (artifact.name.clone(), artifact.sha256.clone());
        return Err(ClientError::Checksum { name, actual, expected });
    }
    tokio::fs::rename(partial(path), path).await.map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory() {
        assert!(plain_name("adapter_model.safetensors").is_ok());
        for name in ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b"] {
            assert!(plain_name(name).is_err(), "{name}");
        }
    }
}
