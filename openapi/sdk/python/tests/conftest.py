"""What the tests share: a real server with a real, tiny model, clients of it, and lines to train on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy import FaultyProxy
from server import Server

from trainyard import Trainyard
from trainyard.models import Adapter, CreateJob, Extension, Hyperparameters, Method, Supervised

NUMBERS = "zero one two three four five six seven eight nine".split()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Trainyard]:
    with Trainyard(base_url=server.url, api_key=server.key) as client:
        yield client


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    running = FaultyProxy(server.url)
    yield running
    running.stop()


@pytest.fixture
def through(server: Server, proxy: FaultyProxy) -> Iterator[Trainyard]:
    """A client that goes through the proxy."""
    with Trainyard(base_url=proxy.url, api_key=server.key) as client:
        yield client


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 chat lines on disk."""
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in chat(40)))
    return path


@pytest.fixture(scope="session")
def training_file(client: Trainyard, lines: Path) -> str:
    return client.files.upload(lines).id


def chat(count: int) -> list[dict[str, object]]:
    def line(i: int) -> dict[str, object]:
        a, b = i % 10, i // 10 % 10
        return {"messages": [
            {"role": "system", "content": f"You answer with one word. {i // 100}"},
            {"role": "user", "content": f"What is the sum of {NUMBERS[a]} and {NUMBERS[b]}?"},
            {"role": "assistant", "content": NUMBERS[a + b] if a + b < 10 else f"1 {NUMBERS[a + b - 10]}"},
        ]}  # fmt: skip

    return [line(i) for i in range(count)]


def short(training_file: str, **more: object) -> CreateJob:
    """A job of some seconds."""
    settings = Supervised(hyperparameters=Hyperparameters(n_epochs=1, batch_size=8))
    return CreateJob.model_validate(
        {"model": "tiny", "training_file": training_file, "method": Method(type="supervised", supervised=settings), **more}
    )


def long(training_file: str) -> CreateJob:
    """A job that does not end within a test by itself."""
    settings = Supervised(hyperparameters=Hyperparameters(n_epochs=50, batch_size=1))
    return CreateJob(
        model="tiny",
        training_file=training_file,
        method=Method(type="supervised", supervised=settings),
        trainyard=Extension(adapter=Adapter(rank=16)),
    )
