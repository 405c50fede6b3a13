"""Closed schemas of the parts of foreign kinds that the chart uses, after their projects' references: Prometheus operator
(monitoring.coreos.com/v1) and KEDA (keda.sh/v1alpha1). Kubernetes' own schemas do not hold them."""

TEXT = {"type": "string", "minLength": 1}
WHOLE = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(required=(), **properties):
    """An object with these keys alone."""
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


def kind(api_version, name, spec):
    """An object of a kind."""
    metadata = closed(["name", "namespace", "labels"], name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)
    keys = ["apiVersion", "kind", "metadata", "spec"]
    return closed(keys, apiVersion={"const": api_version}, kind={"const": name}, metadata=metadata, spec=spec)


DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
ENDPOINT = closed(["port"], port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION)
RULE = {
    "oneOf": [
        closed(["record", "expr"], record=TEXT, expr=TEXT),
        closed(["alert", "expr", "labels", "annotations"], alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS, **{"for": DURATION}),
    ]
}
BEHAVIOR = closed(
    scaleDown=closed(
        stabilizationWindowSeconds=WHOLE,
        policies={
            "type": "array",
            "items": closed(["type", "value", "periodSeconds"], type={"enum": ["Pods", "Percent"]}, value=WHOLE, periodSeconds=WHOLE),
        },
    )
)
# Everything in a trigger's metadata is text.
TRIGGER = closed(
    ["type", "metadata"],
    type={"const": "prometheus"},
    metricType={"enum": ["AverageValue", "Value"]},
    metadata=closed(
        ["serverAddress", "query", "threshold"],
        serverAddress=TEXT,
        query=TEXT,
        threshold=TEXT,
        activationThreshold=TEXT,
        ignoreNullValues={"enum": ["true", "false"]},
    ),
    authenticationRef=closed(["name"], name=TEXT, kind=TEXT),
)
SCHEMAS = {
    "ServiceMonitor": kind(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        closed(
            ["selector", "endpoints"], selector=closed(matchLabels=TEXTS), endpoints={"type": "array", "minItems": 1, "items": ENDPOINT}
        ),
    ),
    "PrometheusRule": kind(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        closed(
            ["groups"],
            groups={
                "type": "array",
                "minItems": 1,
                "items": closed(["name", "rules"], name=TEXT, interval=DURATION, rules={"type": "array", "minItems": 1, "items": RULE}),
            },
        ),
    ),
    "ScaledObject": kind(
        "keda.sh/v1alpha1",
        "ScaledObject",
        closed(
            ["scaleTargetRef", "triggers"],
            scaleTargetRef=closed(["name"], name=TEXT),
            pollingInterval=WHOLE,
            cooldownPeriod=WHOLE,
            minReplicaCount=WHOLE,
            maxReplicaCount=WHOLE,
            advanced=closed(horizontalPodAutoscalerConfig=closed(behavior=BEHAVIOR)),
            triggers={"type": "array", "minItems": 1, "items": TRIGGER},
        ),
    ),
}
