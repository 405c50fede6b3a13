"""What the Python end-to-end tests share: an unmodified client of the running server, and lines to train on.

The Rust test that starts pytest gives OPENAI_BASE_URL, OPENAI_API_KEY and TINY_MODEL (the base model's directory).
"""

import json
import os
import time

import openai
import pytest

NUMBERS = "zero one two three four five six seven eight nine".split()


@pytest.fixture(scope="session")
def client():
    return openai.OpenAI()


@pytest.fixture(scope="session")
def base_model_dir():
    return os.environ["TINY_MODEL"]


def chat(count, start=0):
    """`count` different chat lines as bytes; what is not an assistant's turn is not trained on."""
    lines = []
    for i in range(start, start + count):
        a, b = i % 10, i // 10 % 10
        lines.append({"messages": [
            {"role": "system", "content": f"You answer with one word. {i // 100}"},
            {"role": "user", "content": f"What is the sum of {NUMBERS[a]} and {NUMBERS[b]}?"},
            {"role": "assistant", "content": NUMBERS[a + b] if a + b < 10 else f"1 {NUMBERS[a + b - 10]}"},
        ]})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def wait(client, job, until, seconds=60):
    """Polls the job until `until(job)` holds."""
    deadline = time.monotonic() + seconds
    while True:
        job = client.fine_tuning.jobs.retrieve(job.id)
        if until(job):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def ended(job):
    return job.status in ("succeeded", "failed", "cancelled")
