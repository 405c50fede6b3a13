"""Reads `openapi.json` into a list of operations, the same for every language. Writes nothing.

Every operation needs a name in `NAMES`: one that has none stops the generator, so that no SDK lacks an operation silently.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[2] / "openapi.json"

# Operation -> (resource, method) in the SDKs' clients.
NAMES = {
    "live": ("health", "live"),
    "ready": ("health", "ready"),
    "listFiles": ("files", "list"),
    "retrieveFile": ("files", "retrieve"),
    "deleteFile": ("files", "delete"),
    "downloadFile": ("files", "content"),
    "retrieveFileLineage": ("files", "lineage"),
    "linkFile": ("files", "link"),
    "retrieveFilePrivacy": ("files", "privacy"),
    "setFilePrivacyBudget": ("files", "set_privacy_budget"),
    "retrieveErasure": ("files", "retrieve_erasure"),
    "createUpload": ("uploads", "create"),
    "completeUpload": ("uploads", "complete"),
    "cancelUpload": ("uploads", "cancel"),
    "createFineTuningJob": ("jobs", "create"),
    "preflightFineTuningJob": ("jobs", "preflight"),
    "listPaginatedFineTuningJobs": ("jobs", "list"),
    "retrieveFineTuningJob": ("jobs", "retrieve"),
    "cancelFineTuningJob": ("jobs", "cancel"),
    "pauseFineTuningJob": ("jobs", "pause"),
    "resumeFineTuningJob": ("jobs", "resume"),
    "listFineTuningEvents": ("jobs", "list_events"),
    "listFineTuningJobCheckpoints": ("jobs", "list_checkpoints"),
    "listModels": ("models", "list"),
    "retrieveModel": ("models", "retrieve"),
    "retrieveModelLineage": ("models", "lineage"),
    "deleteModel": ("models", "delete"),
    "listModelArtifacts": ("models", "list_artifacts"),
    "downloadModelArtifact": ("models", "artifact_content"),
    "linkModelArtifact": ("models", "link_artifact"),
    "retrieveUsage": ("usage", "retrieve"),
    "listWebhooks": ("webhooks", "list"),
    "createWebhook": ("webhooks", "create"),
    "retrieveWebhook": ("webhooks", "retrieve"),
    "updateWebhook": ("webhooks", "update"),
    "deleteWebhook": ("webhooks", "delete"),
    "listWebhookDeliveries": ("webhooks", "list_deliveries"),
    "rotateWebhookSecret": ("webhooks", "rotate_secret"),
    "testWebhook": ("webhooks", "test"),
    "listTenants": ("tenants", "list"),
    "createTenant": ("tenants", "create"),
    "retrieveTenant": ("tenants", "retrieve"),
    "updateTenant": ("tenants", "update"),
    "deleteTenant": ("tenants", "delete"),
    "listAuditEvents": ("tenants", "list_audit_events"),
    "listTenantKeys": ("tenants", "list_keys"),
    "createTenantKey": ("tenants", "create_key"),
    "retrieveTenantKey": ("tenants", "retrieve_key"),
    "revokeTenantKey": ("tenants", "revoke_key"),
    "rotateTenantKey": ("tenants", "rotate_key"),
}

# Forms carry files from disk: written by hand, once for each language.
BY_HAND = {"createFile": "files.upload", "addUploadPart": "uploads.add_part"}
# Parameters that the hand-written stream of events sends.
STREAM = {"stream", "Last-Event-ID"}
# Every POST takes this header.
IDEMPOTENCY = "Idempotency-Key"
PAGE_FIELDS = {"object", "data", "first_id", "last_id", "has_more"}


@dataclass(frozen=True)
class Parameter:
    """A parameter in the path or query. `kind` is string, integer, boolean, map or the name of a schema of strings."""

    wire: str
    kind: str
    text: str


@dataclass(frozen=True)
class Operation:
    """One operation. `answer` is a schema's name, or `None` where the answer is bytes; `page` says that it is a page of `answer`."""

    resource: str
    name: str
    method: str
    path: str
    in_path: tuple[Parameter, ...]
    query: tuple[Parameter, ...]
    body: str | None
    answer: str | None
    page: bool
    summary: str
    description: str


def read() -> tuple[dict[str, Any], list[Operation]]:
    """The document, and its operations in the order of `NAMES`."""
    document = json.loads(DOCUMENT.read_text())
    found: dict[str, Operation] = {}
    for path, item in document["paths"].items():
        for method, entry in item.items():
            if not isinstance(entry, dict) or "operationId" not in entry:
                continue
            identity = entry["operationId"]
            if identity in BY_HAND:
                continue
            if identity not in NAMES:
                raise SystemExit(f"{identity} ({method.upper()} {path}) has no name: give it one in NAMES of {__file__}")
            found[identity] = operation(document, identity, method.upper(), path, entry)
    missing = [identity for identity in NAMES if identity not in found]
    if missing:
        raise SystemExit(f"the document has no operation {', '.join(missing)}: take it out of NAMES of {__file__}")
    return document, [found[identity] for identity in NAMES]


def operation(document: dict[str, Any], identity: str, method: str, path: str, entry: dict[str, Any]) -> Operation:
    in_path, query = [], []
    for parameter in entry.get("parameters", []):
        if parameter["name"] in STREAM or parameter["name"] == IDEMPOTENCY:
            continue
        place = {"path": in_path, "query": query}.get(parameter["in"])
        if place is None:
            raise SystemExit(f"{identity}: a parameter in {parameter['in']} ({parameter['name']}) is not known to the generator")
        place.append(Parameter(parameter["name"], kind(parameter["schema"]), parameter.get("description", "")))
    body = None
    if "requestBody" in entry:
        contents = entry["requestBody"]["content"]
        if list(contents) != ["application/json"]:
            raise SystemExit(f"{identity}: a body of {', '.join(contents)} has to be written by hand (BY_HAND)")
        body = reference(contents["application/json"]["schema"])
    contents = entry["responses"]["200"]["content"]
    answer, page = None, False
    if "application/json" in contents:
        answer = reference(contents["application/json"]["schema"])
        schema = document["components"]["schemas"][answer]
        if answer.startswith("Page_"):
            if set(schema["properties"]) != PAGE_FIELDS:
                raise SystemExit(f"{answer} is not a page as the SDKs know it: {sorted(schema['properties'])}")
            answer, page = reference(schema["properties"]["data"]["items"]), True
    resource, name = NAMES[identity]
    return Operation(resource, name, method, path, tuple(in_path), tuple(query), body, answer, page,
                     sentence(entry["summary"]), entry.get("description", ""))


def sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else text + "."


def kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return reference(schema)
    if schema["type"] == "object":
        return "map"
    if schema["type"] in ("string", "integer", "boolean"):
        return str(schema["type"])
    raise SystemExit(f"a parameter of type {schema} is not known to the generator")


def reference(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]


def resources(operations: list[Operation]) -> dict[str, list[Operation]]:
    """The operations by resource."""
    grouped: dict[str, list[Operation]] = {}
    for entry in operations:
        grouped.setdefault(entry.resource, []).append(entry)
    return grouped


def path_name(wire: str) -> str:
    """What a path parameter is called in the SDKs."""
    return {"fine_tuning_job_id": "job_id"}.get(wire, wire)
