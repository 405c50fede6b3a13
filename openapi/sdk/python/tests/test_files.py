"""Uploads and downloads against the real server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from proxy import FaultyProxy

from trainyard import ConnectionFailedError, NotFoundError, Trainyard
from trainyard.models import CreateUpload

LINE = b'{"prompt": "a line of a large file", "completion": "of 64 bytes"}\n'


def test_a_file_goes_up_and_comes_back(client: Trainyard, lines: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    file = client.files.upload(lines, on_progress=lambda sent, size: told.append((sent, size)), expires_after_seconds=3600)
    size = lines.stat().st_size
    assert (file.filename, file.bytes, file.expires_at) == ("train.jsonl", size, file.created_at + 3600)
    assert told[-1] == (size, size)
    assert client.files.download(file.id, tmp_path / "again").read_bytes() == lines.read_bytes()
    assert file.id in [found.id for found in client.files.list(purpose="fine-tune", limit=1)]
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(file.id)


def test_a_large_file_goes_in_parts_that_are_repeated(through: Trainyard, proxy: FaultyProxy, client: Trainyard) -> None:
    content = LINE * 10_000
    told: list[int] = []
    # The upload itself, then its first part without an answer, its second one refused.
    proxy.faults += ["cut:10000000", "lost", "cut:10000000", 503]
    file = through.files.upload(
        io.BytesIO(content),
        filename="large.jsonl",
        in_parts_from=1,
        part_bytes=200_000,
        on_progress=lambda sent, _: told.append(sent),
    )
    assert not proxy.faults
    assert file.bytes == len(content) == max(told)
    assert client.files.content(file.id) == content
    sent = [path for _, path, _ in proxy.requests if path.endswith("/parts")]
    assert len(sent) == -(-len(content) // 200_000) + 2


def test_an_upload_that_fails_is_cancelled(through: Trainyard, proxy: FaultyProxy, client: Trainyard) -> None:
    proxy.faults += ["cut:10000000"] + [503] * 3
    with pytest.raises(Exception, match="503"):
        through.files.upload(LINE * 100, filename="x.jsonl", in_parts_from=1, part_bytes=1000)
    assert proxy.requests[-1][1].endswith("/cancel")


def test_an_upload_of_which_the_answer_is_lost_is_one_file(through: Trainyard, proxy: FaultyProxy, client: Trainyard) -> None:
    proxy.faults += ["lost"]
    file = through.files.upload(LINE * 7, filename="lost-answer.jsonl")
    assert [found.id for found in client.files.list() if found.filename == "lost-answer.jsonl"] == [file.id]


def test_uploads_step_by_step(client: Trainyard) -> None:
    upload = client.uploads.create(CreateUpload(filename="a.jsonl", purpose="fine-tune", bytes=len(LINE), mime_type="text/jsonl"))
    part = client.uploads.add_part(upload.id, LINE)
    done = client.uploads.complete(upload.id, {"part_ids": [part.id]})
    assert done.status == "completed" and done.file and done.file.bytes == len(LINE)


def test_a_download_that_breaks_begins_again(through: Trainyard, proxy: FaultyProxy, lines: Path, tmp_path: Path) -> None:
    file = through.files.upload(lines)
    proxy.faults += ["cut:1000", "cut:0"]
    assert through.files.download(file.id, tmp_path / "again").read_bytes() == lines.read_bytes()
    proxy.faults += ["cut:1000"] * 3
    with pytest.raises(ConnectionFailedError):
        through.files.download(file.id, tmp_path / "never")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]
