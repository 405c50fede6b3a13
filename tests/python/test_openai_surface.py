"""Every method of the unmodified `openai` package that Trainyard serves, in each of its styles, and each class of its errors.

`test_openai_client.py` says what calls come to; here none is left out.
"""

import asyncio
import hashlib
import http.server
import json
import queue
import threading

import openai
import pytest

from conftest import chat, ended, wait

HYPERPARAMETERS = {"n_epochs": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def file(client):
    return client.files.create(file=("surface.jsonl", chat(16)), purpose="fine-tune")


@pytest.fixture(scope="module")
def job(client, file):
    made = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, suffix="surface", hyperparameters=HYPERPARAMETERS,
                                          extra_body={"trainyard": {"checkpoint": {"every_steps": 1}}})
    done = wait(client, made, ended)
    assert done.status == "succeeded", done.error
    return done


@pytest.fixture
def slow_job(client):
    """A job of 20,000 steps: it goes on until it is told otherwise."""
    long = client.files.create(file=("long.jsonl", chat(400)), purpose="fine-tune")
    made = client.fine_tuning.jobs.create(model="tiny", training_file=long.id, hyperparameters={"n_epochs": 50, "batch_size": 1})
    yield made
    if not ended(client.fine_tuning.jobs.retrieve(made.id)):
        client.fine_tuning.jobs.cancel(made.id)
    wait(client, made, ended)


@pytest.fixture(scope="module")
def tenant(client):
    """A client of a tenant of its own with all scopes of a tenant, and what makes others."""
    made = client.post("/admin/tenants", cast_to=object, body={"name": "surface"})

    def of(**body):
        key = client.post(f"/admin/tenants/{made['id']}/keys", cast_to=object, body={"name": "k", **body})
        return client.with_options(api_key=key["key"], max_retries=0)

    of.id = made["id"]
    return of


def refused(kind, status, call, code=None):
    with pytest.raises(kind) as seen:
        call()
    assert type(seen.value) is kind and seen.value.status_code == status
    assert seen.value.request_id and seen.value.message and seen.value.type
    assert code is None or seen.value.code == code, seen.value
    return seen.value


def test_files(client, file):
    assert client.files.retrieve(file.id) == file
    assert client.files.wait_for_processing(file.id, max_wait_seconds=60).status == "processed"
    with pytest.warns(DeprecationWarning):
        assert client.files.retrieve_content(file.id) == chat(16).decode()
    made = [client.files.create(file=(f"{n}.jsonl", chat(1)), purpose="fine-tune") for n in range(3)]
    ids = [entry.id for entry in made]
    # Two to a page, so that the client has to follow the cursor; both orders.
    up = [entry.id for entry in client.files.list(limit=2, order="asc") if entry.id in ids]
    down = [entry.id for entry in client.files.list(limit=2, order="desc") if entry.id in ids]
    assert up == ids and down == ids[::-1]
    after = client.files.list(limit=1, order="asc", after=ids[0])
    assert after.data[0].id == ids[1] and after.has_next_page()
    assert after.get_next_page().data[0].id == ids[2]
    for id in ids:
        gone = client.files.delete(id)
        assert gone.deleted and gone.id == id and gone.object == "file"


def test_uploads(client, tmp_path):
    lines = chat(40)
    path = tmp_path / "disk.jsonl"
    path.write_bytes(lines)
    whole = client.uploads.upload_file_chunked(file=path, mime_type="application/jsonl", purpose="fine-tune", part_size=1_000)
    assert whole.status == "completed" and client.files.content(whole.file.id).read() == lines
    begun = client.uploads.create(filename="u.jsonl", purpose="fine-tune", bytes=len(lines), mime_type="application/jsonl",
                                  expires_after={"anchor": "created_at", "seconds": 3600})
    assert begun.status == "pending" and begun.file is None and begun.expires_at > begun.created_at
    # Sent out of order; completing says the order.
    last = client.uploads.parts.create(begun.id, data=lines[100:])
    first = client.uploads.parts.create(begun.id, data=lines[:100])
    refused(openai.BadRequestError, 400, lambda: client.uploads.complete(begun.id, part_ids=[first.id, last.id], md5="0" * 32))
    done = client.uploads.complete(begun.id, part_ids=[first.id, last.id], md5=hashlib.md5(lines).hexdigest())
    assert done.status == "completed" and done.file.expires_at == done.file.created_at + 3600
    assert client.files.content(done.file.id).read() == lines
    given_up = client.uploads.create(filename="c.jsonl", purpose="fine-tune", bytes=1, mime_type="application/jsonl")
    assert client.uploads.cancel(given_up.id).status == "cancelled"
    for id in (whole.file.id, done.file.id):
        client.files.delete(id)


def test_jobs(client, job, slow_job):
    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
    assert job.id in [entry.id for entry in client.fine_tuning.jobs.list(limit=1)]
    after = client.fine_tuning.jobs.list(limit=1, after=slow_job.id)
    assert after.data[0].id == job.id
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))
    assert len(events) > 4 and len({event.id for event in events}) == len(events)
    assert client.fine_tuning.jobs.list_events(job.id, after=events[0].id, limit=1).data[0].id == events[1].id
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    assert len(checkpoints) == 2 and {entry.fine_tuning_job_id for entry in checkpoints} == {job.id}

    wait(client, slow_job, lambda job: job.status == "running")
    client.fine_tuning.jobs.pause(slow_job.id)
    wait(client, slow_job, lambda job: job.status == "paused")
    client.fine_tuning.jobs.resume(slow_job.id)
    wait(client, slow_job, lambda job: job.status == "running")
    client.fine_tuning.jobs.cancel(slow_job.id)
    assert wait(client, slow_job, ended).status == "cancelled"


def test_models(client, job):
    assert client.models.retrieve(job.fine_tuned_model).id == job.fine_tuned_model
    assert {"tiny", job.fine_tuned_model} <= {model.id for model in client.models.list()}


def test_raw_and_streaming_answers(client, file, job):
    raw = client.files.with_raw_response.retrieve(file.id)
    assert raw.status_code == 200 and raw.headers["x-request-id"] == raw.request_id and raw.parse() == file
    raw = client.fine_tuning.jobs.with_raw_response.list(limit=1)
    assert raw.http_response.json()["object"] == "list" and len(raw.parse().data) == 1
    assert int(raw.headers["x-ratelimit-limit-requests"]) > 0
    assert client.models.with_raw_response.retrieve("tiny").parse().object == "model"
    with client.files.with_streaming_response.content(file.id) as answer:
        assert answer.headers["content-length"] == str(file.bytes)
        pieces = list(answer.iter_bytes(100))
    assert len(pieces) > 10 and b"".join(pieces) == chat(16)
    with client.fine_tuning.jobs.checkpoints.with_streaming_response.list(job.id) as answer:
        assert len(answer.parse().data) == 2


def test_the_asynchronous_client(client, file, job):
    async def calls():
        async with openai.AsyncOpenAI() as other:
            made = await other.files.create(file=("async.jsonl", chat(20)), purpose="fine-tune")
            content = await other.files.content(made.id)
            assert content.read() == chat(20)
            listed = [entry.id async for entry in other.files.list(limit=1)]
            assert made.id in listed and file.id in listed
            lines = chat(12)
            chunked = await other.uploads.upload_file_chunked(file=lines, filename="a.jsonl", bytes=len(lines), part_size=500,
                                                              mime_type="application/jsonl", purpose="fine-tune")
            assert chunked.status == "completed"
            again = await other.fine_tuning.jobs.create(model="tiny", training_file=made.id, hyperparameters=HYPERPARAMETERS)
            assert again.id in [entry.id async for entry in other.fine_tuning.jobs.list(limit=1)]
            assert [event.id async for event in other.fine_tuning.jobs.list_events(job.id, limit=3)]
            assert (await other.models.retrieve("tiny")).id == "tiny"
            async with other.files.with_streaming_response.content(made.id) as answer:
                assert b"".join([piece async for piece in answer.iter_bytes(64)]) == chat(20)
            with pytest.raises(openai.NotFoundError):
                await other.files.retrieve("file-000000000000000000000000")
            return again

    wait(client, asyncio.run(calls()), ended)


def test_every_class_of_error(client, file, job, tenant):
    strict = client.with_options(max_retries=0)
    refused(openai.BadRequestError, 400, lambda: strict.files.create(file=("a.jsonl", chat(1)), purpose="vision"), "invalid_file_purpose")
    refused(openai.AuthenticationError, 401, lambda: strict.with_options(api_key="sk-none").files.list(), "invalid_api_key")
    reader = tenant(scopes=["files.read"])
    assert list(reader.files.list()) == []
    refused(openai.PermissionDeniedError, 403, lambda: reader.files.create(file=("a.jsonl", chat(1)), purpose="fine-tune"),
            "insufficient_scope")
    refused(openai.PermissionDeniedError, 403, lambda: reader.fine_tuning.jobs.list())
    refused(openai.NotFoundError, 404, lambda: reader.files.retrieve(file.id), "file_not_found")
    refused(openai.NotFoundError, 404, lambda: strict.models.retrieve("no-such-model"), "model_not_found")
    refused(openai.NotFoundError, 404, lambda: strict.fine_tuning.jobs.list_events("ftjob-000000000000000000000000").data)
    refused(openai.NotFoundError, 404, lambda: strict.uploads.cancel("upload_000000000000000000000000"))
    refused(openai.ConflictError, 409, lambda: strict.fine_tuning.jobs.cancel(job.id), "invalid_state")
    refused(openai.ConflictError, 409, lambda: strict.fine_tuning.jobs.pause(job.id), "invalid_state")
    once = {"Idempotency-Key": f"surface-{file.id}"}
    upload = {"purpose": "fine-tune", "bytes": 1, "mime_type": "application/jsonl", "extra_headers": once}
    first = strict.uploads.create(filename="a.jsonl", **upload)
    assert strict.uploads.create(filename="a.jsonl", **upload).id == first.id
    refused(openai.UnprocessableEntityError, 422, lambda: strict.uploads.create(filename="b.jsonl", **upload), "idempotency_key_reused")


def test_limits_are_rate_limit_errors(client, tenant):
    of_tenant = tenant()
    client.post(f"/admin/tenants/{tenant.id}", cast_to=object, body={"quota": {"storage_bytes": 10}})
    full = refused(openai.RateLimitError, 429, lambda: of_tenant.files.create(file=("a.jsonl", chat(8)), purpose="fine-tune"),
                   "quota_exceeded")
    assert full.response.headers["x-should-retry"] == "false"
    client.post(f"/admin/tenants/{tenant.id}", cast_to=object, body={"quota": {"requests_per_minute": 1}})

    def until_refused():
        for _ in range(50):
            of_tenant.models.list()

    limited = refused(openai.RateLimitError, 429, until_refused, "rate_limit_exceeded")
    assert int(limited.response.headers["retry-after"]) >= 1 and limited.response.headers["x-should-retry"] == "true"
    client.post(f"/admin/tenants/{tenant.id}", cast_to=object, body={"quota": {}})


@pytest.fixture
def receiver():
    """An endpoint of webhooks: what it was sent, as (headers, body)."""
    taken = queue.Queue()

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            taken.put((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    taken.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield taken
    server.shutdown()
    server.server_close()


def test_a_delivered_webhook_unwraps(client, file, receiver):
    hook = client.post("/webhooks", cast_to=object, body={"url": receiver.url, "events": ["fine_tuning.job.succeeded"]})
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, hyperparameters=HYPERPARAMETERS)
    headers, body = receiver.get(timeout=120)
    event = client.webhooks.unwrap(body, headers, secret=hook["secret"])
    assert event.type == "fine_tuning.job.succeeded" and event.object == "event"
    assert event.data.id == job.id and event.id == headers["webhook-id"]
    assert type(event) is openai.types.webhooks.FineTuningJobSucceededWebhookEvent
    client.with_options(webhook_secret=hook["secret"]).webhooks.verify_signature(body, headers)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body.replace(b"succeeded", b"cancelled"), headers, secret=hook["secret"])
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.verify_signature(body, {**headers, "webhook-timestamp": "1"}, secret=hook["secret"])
    # After a rotation the old secret and the new one both hold.
    rotated = client.post(f"/webhooks/{hook['id']}/rotate_secret", cast_to=object, body={})
    client.post(f"/webhooks/{hook['id']}/test", cast_to=object)
    headers, body = receiver.get(timeout=120)
    for secret in (hook["secret"], rotated["secret"]):
        client.webhooks.verify_signature(body, headers, secret=secret)
    assert json.loads(body)["type"] == "webhook.ping"
    client.delete(f"/webhooks/{hook['id']}", cast_to=object)
