"""Wrong values are refused, and the refusal names the value."""

import json

import pytest
from conftest import CHART, merged, preset, render, values_of
from helm_python import HelmError


def at(path, value):
    """Nested values of one path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


# preset, path, value, and what the refusal has to name beside the path's last key.
WRONG = [
    ("embedded", "replicas", 2, ""),
    ("embedded", "mode", "single", ""),
    ("embedded", "embedded.replicas", 2, ""),
    ("embedded", "embedded.slots", "one", ""),
    ("embedded", "embedded.resources.limits.memory", "8 GB", ""),
    ("embedded", "embedded.resources.limit", {}, ""),
    ("embedded", "embedded.persistence.size", "big", ""),
    ("embedded", "embedded.stopGraceSeconds", 28, ""),
    ("embedded", "embedded.terminationGracePeriodSeconds", 20, "28 seconds"),
    ("embedded", "service.port", 0, ""),
    ("embedded", "service.type", "ExternalName", ""),
    ("embedded", "image.server.digest", "sha256:123", ""),
    ("embedded", "image.tag", "latest", ""),
    ("embedded", "metrics.port", 70000, ""),
    ("embedded", "settings.http.request_per_minute", 1, ""),
    ("embedded", "settings.http.requests_per_minute", "many", ""),
    ("embedded", "settings.scheduling.fair_share_half_life_hours", 23, ""),
    ("embedded", "settings.log.log_format", "xml", ""),
    ("embedded", "oidc.issuer", "https://login.example.org", "oidc.audience"),
    ("embedded", "ingress.enabled", True, "ingress.hosts"),
    ("embedded", "test.enabled", True, "test.apiKeySecret.name"),
    ("embedded", "commonLabels.team", 7, ""),
    ("embedded", "traces.sampler", "sometimes", ""),
    ("embedded", "traces.samplerArg", "1.5", ""),
    ("embedded", "traces.endpoint", "otel:4318", ""),
    ("embedded", "traces.endpoint", "http://otel:4319/v1/traces", "networkPolicy.traces.ports"),
    ("embedded", "networkPolicy.webhooks.except", ["everything"], ""),
    ("embedded", "fullnameOverride", "Upper_Case", ""),
    ("cluster", "store.url", "redis://:secret@redis", ""),
    ("cluster", "store.url", "sqlite:trainyard.db", ""),
    ("cluster", "store.url", "", "redis://redis:6379"),
    ("cluster", "store.urlSecret.name", "both", "both set"),
    ("cluster", "store.passwordSecret", "redis", ""),
    ("cluster", "store.password", "secret", ""),
    ("cluster", "queue.url", "amqp://user:secret@rabbitmq/prod", ""),
    ("cluster", "queue.urlSecret.name", "", "queue.urlSecret"),
    ("cluster", "objects.url", "file:/data", ""),
    ("cluster", "objects.url", "", "s3://training/prod"),
    ("cluster", "objects.s3.secretAccessKey", "secret", ""),
    ("cluster", "models.volume", None, "models.volume"),
    ("cluster", "executorToken.existingSecret.name", "", "openssl rand"),
    ("cluster", "objects.s3.endpoint", "http://s3.objects:8333", "port 8333, which networkPolicy.objects.ports"),
    ("cluster", "objects.s3.endpoint", "http://s3.objects/", "port 80"),
    ("cluster", "store.url", "redis://user@redis:6380/1", "port 6380"),
    ("cluster", "queue", {"url": "amqp://user@rabbitmq:5673/prod", "urlSecret": {"name": ""}}, "port 5673"),
    ("cluster", "networkPolicy.store.ports", [6380], "store.url uses port 6379"),
    ("cluster", "api.replicas", 0, ""),
    ("cluster", "api.terminationGracePeriodSeconds", 19, "must be at least 20, not 19"),
    ("cluster", "api.autoscaling", {"enabled": True, "minReplicas": 5, "maxReplicas": 2}, "minReplicas (5) is above maxReplicas (2)"),
    ("cluster", "scheduler.terminationGracePeriodSeconds", 29, "28 seconds"),
    ("cluster", "executors.pools.Large", {}, ""),
    ("cluster", "executors.pools.large.gpu", 1, ""),
    ("cluster", "executors.pools.large.slots", 0, ""),
    ("cluster", "executors.pools.large.stopGraceSeconds", 25, ""),
    ("cluster", "executors.pools.large.terminationGracePeriodSeconds", 29, "25 seconds"),
    ("cluster", "executors.pools.large.pool", "a b", ""),
    ("cluster", "executors.pools.large.keda.enabled", True, "serverAddress"),
    ("gpu", "executors.pools.gpu.keda.minReplicas", 9, "minReplicas (9) is above maxReplicas (8)"),
    ("gpu", "metrics.enabled", False, "metrics.enabled"),
]


@pytest.mark.parametrize(("name", "path", "value", "said"), WRONG, ids=[f"{path}={value}" for _, path, value, _ in WRONG])
def test_refused(name, path, value, said):
    values = merged(values_of(name), at(path, value))
    if path == "models.volume":
        values["models"] = {}
    with pytest.raises(HelmError) as refused:
        render(values)
    text = str(refused.value)
    assert (said or path.split(".")[-1]) in text, text


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("cluster", "store.url", "rediss://user@redis.example.org:6379/3"),
        ("cluster", "objects.s3.endpoint", "https://[fd00::1]:443/"),
        ("cluster", "store.url", "redis://redis"),
        ("cluster", "executors.pools.large", {"resources": {"limits": {"memory": "1.5Gi", "cpu": 2}}}),
        ("cluster", "executors.pools.default.podDisruptionBudget.maxUnavailable", "25%"),
        ("cluster", "podSecurityContext.runAsUser", None),
        ("embedded", "global.other", {"chart": "around"}),
    ],
)
def test_taken(name, path, value):
    assert preset(name, **at(path, value))


def test_every_object_of_ours_is_closed():
    """A misspelt key is refused wherever it stands; open are only objects of Kubernetes and maps of names."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    opened = set()

    def walk(node, path):
        if isinstance(node, dict):
            others = node.get("additionalProperties")
            if node.get("type") == "object" and others is not False and not isinstance(others, dict):
                opened.add(path)
            for key, value in node.items():
                walk(value, path if key in ("properties", "items") else f"{path}.{key}".strip("."))

    walk(schema, "")
    expected = {"global", "models.volume", "podSecurityContext", "containerSecurityContext", "definitions.list"}
    expected |= {f"{part}.affinity" for part in ("api", "scheduler", "embedded", "definitions.pool")}
    expected |= {"definitions.pool.workVolumeClaim", "definitions.pool.keda.authenticationRef"}
    assert opened == expected
