"""A job's whole life against the real server."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import long, short
from proxy import FaultyProxy

from trainyard import IntegrityError, JobCancelledError, JobFailedError, Trainyard, WaitStoppedError, WaitTimeoutError
from trainyard.models import Checkpointing, Extension, Job


@pytest.fixture(scope="module")
def job(client: Trainyard, training_file: str, lines: Path) -> Job:
    """A job that has run to its end, and was waited for."""
    valid = client.files.upload(lines.read_bytes()[:2000].rsplit(b"\n", 1)[0] + b"\n", filename="valid.jsonl")
    body = short(
        training_file,
        validation_file=valid.id,
        suffix="sums",
        seed=5,
        metadata={"team": "sdk"},
        trainyard=Extension(checkpoint=Checkpointing(every_steps=2), precision="fp32"),
    )
    told: list[Job] = []
    made = client.jobs.create(body)
    done = client.jobs.wait(made.id, timeout=120, poll_seconds=0.05, on_progress=told.append)
    assert done.id == made.id and (told[-1].status, told[-1].trainyard.progress.step) == ("succeeded", 5)
    states = [(job.status, job.trainyard.progress) for job in told]
    assert len(states) >= 2 and all(one != next for one, next in pairwise(states)), "told of nothing new"
    return done


def test_a_job_is_made_as_asked_and_succeeds(job: Job) -> None:
    assert job.fine_tuned_model and ":sums:" in job.fine_tuned_model
    assert job.seed == 5 and job.metadata == {"team": "sdk"}
    assert job.trainyard.precision == "fp32" and job.trainyard.checkpoint.every_steps == 2
    assert job.trainyard.adapter.rank == 16, "a default of the server"
    assert job.trainyard.result and job.trainyard.result.steps == 5 and job.trainyard.result.valid_loss is not None


def test_pages_hold_every_event_once(client: Trainyard, job: Job) -> None:
    whole = client.jobs.list_events(job.id, limit=1000).page()
    assert not whole.has_more and len(whole.data) > 6
    pages = list(client.jobs.list_events(job.id, limit=3).pages())
    assert [len(page.data) for page in pages[:-1]] == [3] * (len(pages) - 1)
    assert [event.id for event in client.jobs.list_events(job.id, limit=3)] == [event.id for event in whole.data]


def test_a_stream_gives_what_the_pages_hold(client: Trainyard, job: Job) -> None:
    streamed = [event.id for event in client.jobs.stream_events(job.id)]
    assert streamed == [event.id for event in client.jobs.list_events(job.id)][::-1]
    assert [event.id for event in client.jobs.stream_events(job.id, last_event_id=streamed[2])] == streamed[3:]
    assert [event.id for event in client.jobs.stream_events(job.id, last_event_id="unknown")] == streamed


def test_a_live_stream_that_breaks_goes_on(through: Trainyard, proxy: FaultyProxy, client: Trainyard, training_file: str) -> None:
    made = client.jobs.create(short(training_file))
    proxy.faults += ["cut:700", 503, "cut:900", "cut:0"]
    streamed = [event.id for event in through.jobs.stream_events(made.id)]
    assert not proxy.faults, "the faults did not happen"
    assert "last-event-id" in proxy.requests[-1][2]
    assert streamed == [event.id for event in client.jobs.list_events(made.id)][::-1]
    assert client.jobs.retrieve(made.id).status == "succeeded"


def test_lists_filter_by_metadata(client: Trainyard, job: Job) -> None:
    assert [found.id for found in client.jobs.list(metadata={"team": "sdk"})] == [job.id]
    assert list(client.jobs.list(metadata={"team": "nobody"})) == []


def test_adapter_checkpoints_and_results_are_downloaded(client: Trainyard, job: Job, tmp_path: Path) -> None:
    assert job.fine_tuned_model
    paths = client.models.download(job.fine_tuned_model, tmp_path / "adapter")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in paths}
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["r"] == 16
    checkpoints = list(client.jobs.list_checkpoints(job.id, limit=1))
    assert len(checkpoints) >= 2
    name = checkpoints[0].fine_tuned_model_checkpoint
    assert client.models.download_artifact(name, "adapter_model.safetensors", tmp_path / "weights").stat().st_size > 1000
    result = client.files.download(job.result_files[0], tmp_path / "result.csv")
    rows = list(csv.DictReader(io.StringIO(result.read_text())))
    assert [row["step"] for row in rows][-1] == "5"
    assert client.files.content(job.result_files[0]) == result.read_bytes()
    assert not list(tmp_path.glob("**/*.partial"))


def test_an_artifact_that_arrives_changed_is_refused(through: Trainyard, proxy: FaultyProxy, job: Job, tmp_path: Path) -> None:
    assert job.fine_tuned_model
    proxy.faults += ["flipped"]
    with pytest.raises(IntegrityError, match="SHA-256"):
        through.models.download_artifact(job.fine_tuned_model, "adapter_model.safetensors", tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []


def test_pause_resume_and_cancel(client: Trainyard, training_file: str) -> None:
    made = client.jobs.create(long(training_file))
    reached(client, made.id, "running", 1)
    client.jobs.pause(made.id)
    paused = reached(client, made.id, "paused")
    client.jobs.resume(made.id)
    reached(client, made.id, "running", paused.trainyard.progress.step + 1)
    client.jobs.cancel(made.id)
    with pytest.raises(JobCancelledError) as ended:
        client.jobs.wait(made.id, timeout=30, poll_seconds=0.05)
    assert ended.value.job.status == "cancelled"


def test_a_wait_ends_in_time_or_when_it_is_stopped(client: Trainyard, training_file: str) -> None:
    made = client.jobs.create(long(training_file))
    with pytest.raises(WaitTimeoutError) as late:
        client.jobs.wait(made.id, timeout=0.3, poll_seconds=0.1)
    assert late.value.job.id == made.id
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(WaitStoppedError):
        client.jobs.wait(made.id, poll_seconds=30, stop=stop, cancel_on_stop=True)
    assert time.monotonic() - begin < 10
    reached(client, made.id, "cancelled")


def test_a_wait_outlasts_a_server_that_is_away(through: Trainyard, proxy: FaultyProxy, training_file: str) -> None:
    made = through.jobs.create(short(training_file))
    away = [503] * 6

    def gone(_: Job) -> None:
        # The client's own three attempts, twice, once the wait has begun.
        proxy.faults += away
        away.clear()

    assert through.jobs.wait(made.id, timeout=120, poll_seconds=0.05, on_progress=gone).status == "succeeded"
    assert not proxy.faults


def test_a_job_that_fails_says_where(client: Trainyard) -> None:
    broken = client.files.upload(b'{"messages": [{"role": "nobody", "content": "x"}]}\n', filename="broken.jsonl")
    made = client.jobs.create(short(broken.id))
    with pytest.raises(JobFailedError) as failed:
        client.jobs.wait(made.id, timeout=60, poll_seconds=0.05)
    assert failed.value.code and failed.value.param == "training_file" and "role" in str(failed.value)


def test_preflight(client: Trainyard, training_file: str) -> None:
    plan = client.jobs.preflight(short(training_file))
    assert plan.valid and plan.total_steps == 5
    assert client.usage.retrieve().storage_bytes > 0


def reached(client: Trainyard, job_id: str, status: str, step: int = 0) -> Job:
    deadline = time.monotonic() + 60
    while True:
        job = client.jobs.retrieve(job_id)
        if job.status == status and job.trainyard.progress.step >= step:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
