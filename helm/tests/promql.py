"""What an expression asks for: metrics, and the labels it names of each."""

import re
from pathlib import Path

import yaml

KNOWN = yaml.safe_load((Path(__file__).resolve().parent / "metrics.yaml").read_text())
# Those that Prometheus puts on what it scrapes from a Service.
SCRAPED = {"namespace", "job", "instance", "pod"}
SELECTOR = re.compile(r"\b(trainyard_\w+)(\{[^}]*\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
RECORDED = re.compile(r"\b\w+:trainyard_\w+:\w+")


def faults(expression, recorded=()):
    """Why an expression cannot give anything: a metric or a label that is not there, a recorded series that no rule makes."""
    found = [f"no rule records {name}" for name in RECORDED.findall(expression) if name not in recorded]
    for name, matchers in SELECTOR.findall(RECORDED.sub("", expression)):
        base, kind = base_of(name)
        if base not in KNOWN:
            found.append(f"{name} is no metric")
            continue
        if (KNOWN[base]["type"] == "histogram") != (kind is not None):
            found.append(f"{name}: {base} is a {KNOWN[base]['type']}")
        labels = set(KNOWN[base]["labels"]) | SCRAPED | ({"le"} if kind == "_bucket" else set())
        # Quoted values may hold anything.
        named = MATCHER.findall(re.sub(r'"[^"]*"', '""', matchers))
        found += [f"{name} has no label {label}" for label in named if label not in labels]
    return found


def base_of(name):
    """A metric and which of a histogram's series is asked for."""
    for kind in ("_bucket", "_count", "_sum"):
        if name.endswith(kind) and name.removesuffix(kind) in KNOWN:
            return name.removesuffix(kind), kind
    return name, None
