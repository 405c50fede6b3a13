"""What needs no server: streams in pieces, times to wait, requests as data, answers of a newer server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trainyard import Trainyard, TrainyardError
from trainyard._call import Call
from trainyard._retry import may_repeat, pause, retry_after
from trainyard._sse import Decoder
from trainyard.models import Adapter, CreateJob, Extension, JobEvent


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_reads_the_same_in_any_pieces(size: int, end: str) -> None:
    text = (
        ': hello||event: fine_tuning.job.event|id: ev-1|data: {"text": "a\u2028b ü"}||data: one|data:two||id: ev-2|data: [DONE]||'
    )
    stream = text.replace("|", end).encode()
    decoder = Decoder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    # A lone CR may be half of a CRLF, so the last one waits for more.
    found = [(m.event, m.data, m.id) for piece in [*pieces, b":"] for m in decoder.feed(piece)]
    assert found == [
        ("fine_tuning.job.event", '{"text": "a\u2028b ü"}', "ev-1"),
        ("message", "one\ntwo", "ev-1"),
        ("message", "[DONE]", "ev-2"),
    ]


def test_waits_are_what_the_server_asks() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": "2"}) == 2.0
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, now) == 30.0
    assert retry_after({"retry-after": "soon"}) is None
    assert pause(0, 121.0) is None and pause(0, 120.0) == 120.0
    assert 3.0 <= (pause(3, None) or 0) <= 4.0 and (pause(20, None) or 0) <= 8.0
    assert may_repeat(409, {"x-should-retry": "true"}) and not may_repeat(503, {"x-should-retry": "false"})
    assert may_repeat(429, {}) and not may_repeat(409, {})


def test_only_what_was_set_is_sent() -> None:
    body = CreateJob(model="m", training_file="f", suffix=None, trainyard=Extension(adapter=Adapter(rank=4)))
    call = Call("POST", "/", body=body, query={"metadata": {"a": "1"}, "after": None, "stream": True})
    assert call.json() == {"model": "m", "training_file": "f", "suffix": None, "trainyard": {"adapter": {"rank": 4}}}
    assert call.parameters() == [("metadata[a]", "1"), ("stream", "true")]


def test_answers_of_a_newer_server_are_read() -> None:
    event = JobEvent.model_validate(
        {
            "id": "e",
            "object": "o",
            "created_at": 1,
            "level": "fatal",
            "message": "m",
            "type": "graph",
            "data": {},
            "colour": "red",
        }
    )
    assert event.level == "fatal" and event.model_extra == {"colour": "red"}


def test_openais_key_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINYARD_URL", "TRAINYARD_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    with pytest.raises(TrainyardError, match="no API key"):
        Trainyard()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    assert Trainyard().base_url == "http://127.0.0.1:9"
