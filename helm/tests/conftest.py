"""Helm's engine on the chart, without a cluster."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import yaml
from helm_python import Chart

CHART = Path(__file__).resolve().parent.parent / "trainyard"
CASES = Path(__file__).resolve().parent / "cases"

# What is rendered: the presets as they are meant to be combined, and values that turn on whatever the presets leave off.
PRESETS = {
    "embedded": ["presets/embedded.yaml"],
    "cluster": ["presets/cluster.yaml"],
    "gpu": ["presets/cluster.yaml", "presets/gpu.yaml"],
    "embedded-full": ["presets/embedded.yaml", CASES / "embedded-full.yaml"],
    "cluster-full": ["presets/cluster.yaml", "presets/gpu.yaml", CASES / "cluster-full.yaml"],
}


def merged(under, over):
    """Values as Helm merges those of several files."""
    out = deepcopy(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else deepcopy(value)
    return out


def values_of(preset):
    """The values of a preset's files."""
    out = {}
    for name in PRESETS[preset]:
        out = merged(out, yaml.safe_load((CHART / name).read_text()) or {})
    return out


@cache
def chart():
    """The chart, loaded once."""
    return Chart.load(CHART)


def render(values, name="ty", namespace="prod"):
    """Every object that the chart makes of the values."""
    objects = []
    for path, text in chart().render(values, name=name, namespace=namespace).items():
        if path.endswith(".yaml"):
            objects += [one for one in yaml.safe_load_all(text) if one]
    return objects


def preset(name, **over):
    """The objects of a preset, with values over it."""
    return render(merged(values_of(name), over))


def pods(objects):
    """(name, metadata, spec) of every pod and template of one."""
    for one in objects:
        if one["kind"] == "Deployment":
            yield one["metadata"]["name"], one["spec"]["template"]["metadata"], one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one["metadata"]["name"], one["metadata"], one["spec"]


def named(objects, kind, name):
    """The one object of a kind and a name."""
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


@pytest.fixture(params=sorted(PRESETS))
def rendered(request):
    """The objects of each preset in turn."""
    return preset(request.param)
