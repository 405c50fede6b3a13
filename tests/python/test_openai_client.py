"""The unmodified `openai` package against Trainyard: every call of the fine-tuning contract that this version serves."""

import csv
import hashlib
import io
import socket
import threading
import time

import openai
import pytest

from conftest import chat, ended, wait


@pytest.fixture(scope="module")
def training_file(client):
    return client.files.create(file=("train.jsonl", chat(40)), purpose="fine-tune")


@pytest.fixture(scope="module")
def validation_file(client):
    return client.files.create(file=("valid.jsonl", chat(8, start=40)), purpose="fine-tune")


@pytest.fixture(scope="module")
def job(client, training_file, validation_file):
    """A job that has run to its end."""
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=training_file.id, validation_file=validation_file.id, suffix="sums", seed=5,
        metadata={"team": "a", "kind": "short"},
        method={"type": "supervised", "supervised": {"hyperparameters": {
            "n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 10.0}}},
        extra_body={"trainyard": {"checkpoint": {"every_steps": 5}, "precision": "fp32"}},
    )
    assert job.object == "fine_tuning.job"
    assert job.status in ("validating_files", "queued")
    assert job.fine_tuned_model is None and job.finished_at is None and job.error is None
    return wait(client, job, ended)


def test_files(client, training_file):
    assert training_file.id.startswith("file-") and training_file.purpose == "fine-tune"
    assert training_file.bytes == len(chat(40))
    assert client.files.retrieve(training_file.id).filename == "train.jsonl"
    assert client.files.content(training_file.id).read() == chat(40)
    assert training_file.id in [file.id for file in client.files.list(purpose="fine-tune")]


def test_a_job_succeeds_and_says_what_it_did(client, job, training_file):
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model.startswith("ft:tiny:") and ":sums:" in job.fine_tuned_model
    assert job.training_file == training_file.id and job.seed == 5
    assert job.method.supervised.hyperparameters.n_epochs == 2
    assert job.hyperparameters.batch_size == 4
    assert job.trained_tokens > 0 and job.finished_at >= job.created_at
    result = job.model_extra["trainyard"]["result"]
    assert result["steps"] == 20
    assert result["valid_loss"] < result["initial_valid_loss"], "nothing was learned"


def test_list_filters_and_pages(client, job, training_file):
    more = [client.fine_tuning.jobs.create(model="tiny", training_file=training_file.id, metadata={"team": "pages", "n": str(n)},
                                           hyperparameters={"n_epochs": 1, "batch_size": 8}) for n in range(3)]
    found = [entry.id for entry in client.fine_tuning.jobs.list(metadata={"team": "a", "kind": "short"})]
    assert found == [job.id]
    assert list(client.fine_tuning.jobs.list(metadata={"team": "nobody"})) == []
    # One to a page, so that the client has to follow the cursor.
    paged = [entry.id for entry in client.fine_tuning.jobs.list(limit=1, metadata={"team": "pages"})]
    assert paged == [entry.id for entry in reversed(more)]
    for entry in more:
        assert wait(client, entry, ended).status == "succeeded"


def test_events_and_checkpoints(client, job):
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    assert len({event.id for event in events}) == len(events) > 5
    times = [event.created_at for event in events]
    assert times == sorted(times, reverse=True)
    assert {event.object for event in events} == {"fine_tuning.job.event"}
    metrics = [event for event in events if event.type == "metrics"]
    assert metrics and all("train_loss" in event.data or "valid_loss" in event.data for event in metrics)

    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert checkpoints and checkpoints[0].fine_tuning_job_id == job.id
    steps = [checkpoint.step_number for checkpoint in checkpoints]
    assert steps == sorted(steps, reverse=True)
    assert all(f":ckpt-step-{c.step_number}" in c.fine_tuned_model_checkpoint for c in checkpoints)
    assert all(checkpoint.metrics.train_loss > 0 for checkpoint in checkpoints)


def test_result_file(client, job):
    text = client.files.content(job.result_files[0]).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["step"]) for row in rows if row["step"] != "0"] == list(range(1, 21))
    losses = [float(row["train_loss"]) for row in rows if row["train_loss"]]
    assert losses[-1] < losses[0]
    result = job.model_extra["trainyard"]["result"]
    assert float(rows[-1]["full_valid_loss"]) == pytest.approx(result["valid_loss"], rel=1e-6)


def test_cancel_ends_a_running_job_within_two_seconds(client, training_file):
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=training_file.id, hyperparameters={"n_epochs": 50, "batch_size": 1},
        extra_body={"trainyard": {"adapter": {"rank": 16}}},
    )
    wait(client, job, lambda job: job.status == "running" and job.model_extra["trainyard"]["progress"]["step"] > 0)
    start = time.monotonic()
    client.fine_tuning.jobs.cancel(job.id)
    job = wait(client, job, ended)
    assert job.status == "cancelled"
    assert time.monotonic() - start < 2.0
    assert job.fine_tuned_model is None
    with pytest.raises(openai.ConflictError):
        client.fine_tuning.jobs.resume(job.id)


def test_errors_are_openais_own_classes(client, training_file):
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="tiny", training_file=training_file.id, hyperparameters={"n_epochs": 1000})
    assert refused.value.param == "hyperparameters.n_epochs" and "1000" in refused.value.message
    assert refused.value.request_id
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="tiny", training_file=training_file.id, extra_body={"trainyard": {"adaptor": {}}})
    assert refused.value.param == "trainyard.adaptor" and refused.value.code == "unknown_parameter"
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.retrieve("ftjob-000000000000000000000000")
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve("file-000000000000000000000000")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()


def test_models_and_files_can_be_deleted(client, job, training_file, validation_file):
    assert client.models.retrieve("tiny").owned_by == "system"
    listed = [model.id for model in client.models.list()]
    assert "tiny" in listed and job.fine_tuned_model in listed
    assert client.models.retrieve(job.fine_tuned_model).object == "model"
    assert client.models.delete(job.fine_tuned_model).deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(job.fine_tuned_model)
    with pytest.raises(openai.APIStatusError):
        client.models.delete("tiny")
    deleted = client.files.delete(validation_file.id)
    assert deleted.deleted and deleted.object == "file" and deleted.id == validation_file.id
    assert job.id in deleted.model_extra["trainyard"]["trained"]["jobs"]
    with pytest.raises(openai.NotFoundError):
        client.files.content(validation_file.id)


def test_uploads_in_parts(client):
    lines = chat(400)
    upload = client.uploads.upload_file_chunked(
        file=lines, filename="parts.jsonl", bytes=len(lines), mime_type="text/jsonl", purpose="fine-tune", part_size=10_000,
        md5=hashlib.md5(lines).hexdigest())
    assert upload.status == "completed" and upload.object == "upload"
    assert upload.file.bytes == len(lines) and upload.file.filename == "parts.jsonl"
    assert client.files.content(upload.file.id).read() == lines
    begun = client.uploads.create(filename="a.jsonl", purpose="fine-tune", bytes=10, mime_type="text/jsonl")
    part = client.uploads.parts.create(begun.id, data=b"12345")
    assert part.object == "upload.part" and part.upload_id == begun.id
    with pytest.raises(openai.BadRequestError) as refused:
        client.uploads.complete(begun.id, part_ids=[part.id])
    assert refused.value.param == "part_ids" and "5 bytes" in refused.value.message
    assert client.uploads.cancel(begun.id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.uploads.parts.create(begun.id, data=b"x")


def test_files_that_expire(client):
    file = client.files.create(file=("expires.jsonl", chat(1)), purpose="fine-tune",
                               expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600


class CutProxy:
    """Passes connections on, and cuts the first one when the server begins to answer it."""

    def __init__(self, host, port):
        self.target, self.cuts = (host, port), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(self.target)
            threading.Thread(target=self.copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, True), daemon=True).start()

    def copy(self, source, sink, answers):
        try:
            while data := source.recv(65536):
                if answers and self.cuts == 0:
                    self.cuts += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_a_lost_answer_makes_no_second_job(client, training_file):
    url = client.base_url
    proxy = CutProxy(url.host, url.port)
    through = client.with_options(base_url=proxy.url)
    job = through.fine_tuning.jobs.create(model="tiny", training_file=training_file.id, metadata={"lost": "answer"},
                                          hyperparameters={"n_epochs": 1, "batch_size": 8})
    assert proxy.cuts == 1
    assert [entry.id for entry in client.fine_tuning.jobs.list(metadata={"lost": "answer"})] == [job.id]
    again = client.fine_tuning.jobs.create(model="tiny", training_file=training_file.id, metadata={"lost": "answer"},
                                           hyperparameters={"n_epochs": 1, "batch_size": 8})
    assert again.id != job.id, "a request that is no retry is a job"
    for entry in (job, again):
        wait(client, entry, ended)
