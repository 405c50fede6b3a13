"""Refusals, repeats and idempotency against the real server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import short
from proxy import FaultyProxy
from server import Server

from trainyard import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    RateLimitError,
    ServerError,
    Trainyard,
)


def test_a_refusal_names_field_code_and_request(client: Trainyard, training_file: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.jobs.create(short(training_file, hyperparameters={"n_epochs": 1000}, method=None))
    error = refused.value
    assert (error.status, error.param, error.code) == (400, "hyperparameters.n_epochs", "invalid_value")
    assert "1000" in error.message and error.request_id and error.request_id in str(error)
    with pytest.raises(BadRequestError) as refused:
        client.jobs.create({"model": "tiny", "training_file": training_file, "trainyard": {"adaptor": {}}})
    assert (refused.value.param, refused.value.code) == ("trainyard.adaptor", "unknown_parameter")


def test_each_status_has_its_class(client: Trainyard, server: Server, training_file: str) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.jobs.retrieve("ftjob-000000000000000000000000")
    assert missing.value.status == 404
    with pytest.raises(NotFoundError):
        client.models.retrieve("no/such model?")
    with pytest.raises(AuthenticationError), Trainyard(base_url=server.url, api_key="tyk_wrong") as stranger:
        list(stranger.models.list())
    made = client.jobs.create(short(training_file))
    client.jobs.wait(made.id, timeout=60, poll_seconds=0.05)
    with pytest.raises(ConflictError):
        client.jobs.resume(made.id)
    with pytest.raises(ValueError, match="id"):
        client.jobs.retrieve("")


def test_busy_answers_are_repeated_after_what_they_ask(through: Trainyard, proxy: FaultyProxy) -> None:
    proxy.faults += [429, 503]
    begin = time.monotonic()
    assert next(iter(through.models.list())).id == "tiny"
    assert 0.3 <= time.monotonic() - begin < 5
    assert len(proxy.requests) == 3
    proxy.faults += [429] * 3
    with pytest.raises(RateLimitError) as limited:
        through.models.list().page()
    assert limited.value.retry_after == 0.15
    proxy.faults += [503] * 3
    with pytest.raises(ServerError):
        through.models.list().page()


def test_a_real_rate_limit_is_waited_for(tmp_path: Path) -> None:
    server = Server(tmp_path, "--requests-per-minute", "60")
    try:
        with (
            Trainyard(base_url=server.url, api_key=server.key, max_retries=0) as client,
            pytest.raises(RateLimitError) as limited,
        ):
            for _ in range(200):
                client.models.list().page()
        assert limited.value.retry_after and limited.value.retry_after > 0
        with Trainyard(base_url=server.url, api_key=server.key, max_retries=3) as client:
            assert client.models.list().page().data
    finally:
        server.stop()


def test_a_lost_answer_makes_no_second_job(through: Trainyard, proxy: FaultyProxy, client: Trainyard, training_file: str) -> None:
    proxy.faults += ["lost"]
    made = through.jobs.create(short(training_file, metadata={"lost": "answer"}))
    posts = [headers["idempotency-key"] for method, _, headers in proxy.requests if method == "POST"]
    assert len(posts) == 2 and posts[0] == posts[1]
    assert [job.id for job in client.jobs.list(metadata={"lost": "answer"})] == [made.id]


def test_a_key_of_ones_own_makes_one_job(client: Trainyard, training_file: str) -> None:
    first = client.jobs.create(short(training_file), idempotency_key="once-only")
    assert client.jobs.create(short(training_file), idempotency_key="once-only").id == first.id
    with pytest.raises(BadRequestError) as reused:
        client.jobs.create(short(training_file, seed=9), idempotency_key="once-only")
    assert reused.value.code == "idempotency_key_reused"
    assert client.jobs.create(short(training_file)).id != first.id


def test_no_server_is_an_error_of_its_own() -> None:
    with Trainyard(base_url="http://127.0.0.1:1", api_key="x", max_retries=0) as client, pytest.raises(ConnectionFailedError):
        client.health.live()
