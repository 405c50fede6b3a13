# Generated from _async/models.py by openapi/sdk/generate/python.py: change that file.
"""Models: their files, to disk."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from trainyard._call import Call, segment
from trainyard._sync.resources import ModelsResource
from trainyard.errors import IntegrityError


class Models(ModelsResource):
    """The operations of `client.models`."""

    def download_artifact(
        self, model: str, name: str, target: str | PathLike[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Path:
        """Download one file of a model or checkpoint to disk, checked against its SHA-256."""
        call = Call("GET", f"/v1/models/{segment(model)}/artifacts/{segment(name)}")
        return self._transport.save(call, target, on_progress)

    def download(self, model: str, directory: str | PathLike[str]) -> tuple[Path, ...]:
        """Download all files of a model or checkpoint into a directory, which is made where it is not there.

        A checkpoint goes by its `fine_tuned_model_checkpoint`. PEFT loads the directory as it is.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for artifact in self.list_artifacts(model):
            if Path(artifact.name).name != artifact.name:
                raise IntegrityError(f"{artifact.name!r} is no name of a file")
            paths.append(self.download_artifact(model, artifact.name, folder / artifact.name))
        return tuple(paths)
