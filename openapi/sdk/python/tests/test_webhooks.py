"""Webhooks: real deliveries of the real server, and forgeries."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from server import Server

from trainyard import Trainyard
from trainyard.models import CreateWebhook
from trainyard.webhook import WebhookVerificationError, verify

Received = tuple[dict[str, str], bytes]
# The example that the Standard Webhooks specification publishes.
SECRET, SENT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1_614_265_330
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "Webhook-Timestamp": str(SENT),
    "Webhook-Signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


@pytest.fixture
def receiver() -> Iterator[tuple[str, queue.Queue[Received]]]:
    arrived: queue.Queue[Received] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.put((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", arrived
    server.shutdown()
    server.server_close()


def test_deliveries_are_verified(tmp_path: Path, receiver: tuple[str, queue.Queue[Received]]) -> None:
    url, arrived = receiver
    server = Server(tmp_path, "--webhook-allow-insecure", "true", "--webhook-allow-networks", "127.0.0.0/8")
    try:
        with Trainyard(base_url=server.url, api_key=server.key) as client:
            hook = client.webhooks.create(CreateWebhook(url=url, events=["fine_tuning.job.failed"]))
            assert hook.secret
            client.webhooks.test(hook.id)
            headers, body = arrived.get(timeout=30)
            assert verify(body, headers, hook.secret).type == "webhook.ping"
            broken = client.files.upload(b"{}\n", filename="broken.jsonl")
            made = client.jobs.create({"model": "tiny", "training_file": broken.id})
            headers, body = arrived.get(timeout=30)
            event = verify(body, headers, hook.secret)
            assert (event.type, event.data["id"], event.id) == ("fine_tuning.job.failed", made.id, headers["webhook-id"])
            with pytest.raises(WebhookVerificationError, match="no signature"):
                verify(body.replace(b"failed", b"queued"), headers, hook.secret)
            assert event.id in [delivery.id for delivery in client.webhooks.list_deliveries(hook.id)]
    finally:
        server.stop()


def test_the_published_example_and_what_differs_from_it() -> None:
    body = b'{"test": 2432232314}'
    # The signature holds; the body is no event of Trainyard.
    with pytest.raises(WebhookVerificationError, match="no event"):
        verify(body, HEADERS, SECRET, now=SENT)
    for changed, now, text in (
        ({}, SENT + 301, "away from now"),
        ({}, SENT - 301, "away from now"),
        ({"Webhook-Id": "msg_other"}, SENT, "no signature"),
        ({"Webhook-Signature": ""}, SENT, "no header webhook-signature"),
        ({"Webhook-Timestamp": "soon"}, SENT, "cannot be read"),
    ):
        with pytest.raises(WebhookVerificationError, match=text):
            verify(body, {**HEADERS, **changed}, SECRET, now=now)
    with pytest.raises(WebhookVerificationError, match="no signature"):
        verify(body, HEADERS, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", now=SENT)
