"""What clients notice of the API."""

from panels import AT, dashboard, quantiles, series, stat

REQUESTS = "trainyard_http_requests_total"
DURATION = "trainyard_http_request_duration_seconds"
# Uploads, downloads, event streams and executors' waits for directives take as long as their clients.
SHORT = AT + ',route!~".*/(files|parts|complete|content|events|directive|artifacts.*)"'


def rate(metric, matchers=AT, by=""):
    """A counter's rate, apart by labels."""
    return f"sum {f'by ({by}) ' if by else ''}(rate({metric}{{{matchers}}}[$__rate_interval]))"


def make():
    """The dashboard."""
    wrong = AT + ',code=~"5.."'
    # No error at all is no series, and means zero.
    share = f"(sum(rate({REQUESTS}{{{wrong}}}[$__range])) or vector(0)) / sum(rate({REQUESTS}{{{AT}}}[$__range]))"
    now = [
        stat("Requests", "Requests a second.", rate(REQUESTS), "reqps"),
        stat(
            "Server errors",
            "Share of requests that ended in 5xx, over the time shown. The goal is 0.1 %.",
            share,
            "percentunit",
            (("green", None), ("orange", 0.001), ("red", 0.0144)),
            3,
        ),
        stat(
            "Slowest hundredth",
            "One request in a hundred takes longer; uploads, downloads and event streams are left out.",
            quantiles(DURATION, matchers=SHORT)[2][0],
            "s",
            (("green", None), ("orange", 0.5), ("red", 1)),
        ),
        stat("Event streams", "Streams that clients hold open.", f"sum(trainyard_event_streams{{{AT}}})"),
        stat(
            "Durable",
            "1: the record is on disk before it is acknowledged. 0: a crash may lose jobs.",
            f"min(trainyard_store_durable{{{AT}}})",
            "bool_yes_no",
            (("red", None), ("green", 1)),
        ),
        stat(
            "Versions",
            "Versions that run; more than one is an upgrade under way.",
            f"count(count by (version, revision) (trainyard_build_info{{{AT}}}))",
            "short",
            (("green", None), ("orange", 2)),
        ),
    ]
    requests = [
        series("Requests by code", "Answers a second.", [(rate(REQUESTS, by="code"), "{{code}}")], "reqps", stacked=True),
        series(
            "Requests by route", "The ten busiest.", [(f"topk(10, {rate(REQUESTS, by='method, route')})", "{{method}} {{route}}")], "reqps"
        ),
        series(
            "Server errors by route",
            "5xx a second.",
            [(rate(REQUESTS, wrong, "method, route, code"), "{{code}} {{method}} {{route}}")],
            "reqps",
        ),
        series(
            "Refused by limits",
            "Requests a second that a rate limit turned away.",
            [(rate("trainyard_rate_limited_total", by="reason"), "{{reason}}")],
            "reqps",
        ),
    ]
    latency = [
        series("Duration", "Uploads, downloads and event streams left out.", quantiles(DURATION, matchers=SHORT), "s"),
        series(
            "Duration by route",
            "The ten routes whose slowest hundredth is slowest.",
            [(f"topk(10, {quantiles(DURATION, by='route')[2][0]})", "{{route}}")],
            "s",
        ),
    ]
    processes = [
        series(
            "Event streams", "Streams that clients hold open, by process.", [(f"sum by (pod) (trainyard_event_streams{{{AT}}})", "{{pod}}")]
        ),
        series(
            "Processes by version",
            "Processes that are scraped.",
            [(f"count by (version, revision) (trainyard_build_info{{{AT}}})", "{{version}} {{revision}}")],
            stacked=True,
        ),
        series(
            "Spans",
            "Spans of traces a second, by whether the collector took them; none where traces are off.",
            [(rate("trainyard_trace_spans_total", by="result"), "{{result}}")],
            stacked=True,
        ),
    ]
    rows = [("Now", now), ("Requests", requests), ("Latency", latency), ("Processes", processes)]
    return dashboard("trainyard-service", "Trainyard / Service", "Requests, errors and latency of the API.", rows)
