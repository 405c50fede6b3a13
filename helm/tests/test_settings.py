"""Variables and files that the chart sets are those that the binary reads, by the command that the pod runs."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import CHART, pods, preset

SERVER = Path(__file__).resolve().parents[2] / "server" / "src"
# A group of settings: its layer, and in it each setting with its variable.
GROUP = re.compile(r"settings! \{.*?from (\w+), .*?\n\}\n", re.S)
SETTING = re.compile(r'^        (\w+): [\w:]+ = "(?:[^"\\]|\\.)*", "(TRAINYARD_\w+)";', re.M)
# A flag that a command declares itself, or that a struct of a part of a group does.
OWN = re.compile(r'env = "(TRAINYARD_\w+)"')
STRUCT = re.compile(r"pub\(crate\) struct (\w+) \{(.*?)\n\}", re.S)
FLATTENED = re.compile(r"^    \w+: (?:config::)?(\w+Layer),", re.M)
# What the chart sets itself, so that `settings` has no second place for it.
OF_THE_CHART = {
    "listen",
    "internal_listen",
    "metrics_listen",
    "slots",
    "pool",
    "threads",
    "stop_grace_seconds",
    "memory_per_job_mib",
    "trainer",
    "work_dir",
}
# Where a group of the binary stands in the values.
GROUPS = {"http": "HttpLayer", "scheduling": "DispatchLayer", "webhooks": "WebhooksLayer", "training": "TrainingLayer", "log": "LogLayer"}


@cache
def layers():
    """The settings and variables of each layer, from the sources of the server."""
    found = {}
    for path in (SERVER / "config").glob("*.rs"):
        text = path.read_text()
        for group in GROUP.finditer(text):
            found[group.group(1)] = dict(SETTING.findall(group.group(0)))
        for name, body in STRUCT.findall(text):
            if name.endswith("Layer"):
                found.setdefault(name, {variable: variable for variable in OWN.findall(body)})
    return found


@cache
def variables(command):
    """What one of the long-running commands reads."""
    path = {"serve": "embedded"}.get(command, command)
    text = (SERVER / "serve" / f"{path}.rs").read_text()
    [args] = [body for name, body in STRUCT.findall(text) if name.endswith("Args")]
    known = set(OWN.findall(args))
    flattened = FLATTENED.findall(args)
    assert flattened, command
    for layer in flattened:
        known |= set(layers()[layer].values())
    return known


@pytest.mark.parametrize("name", ["embedded", "cluster", "gpu", "embedded-full", "cluster-full"])
def test_the_binary_reads_every_variable(name):
    for pod, _, spec in pods(preset(name)):
        [container] = spec["containers"]
        program, *words = container["command"]
        assert program == "/usr/local/bin/trainyard"
        if words[0] == "jobs":
            continue
        set_here = {variable["name"] for variable in container["env"]} - {"EXTRA"}
        unknown = set_here - variables(words[0])
        assert not unknown, f"`trainyard {words[0]}` of {pod} knows no {sorted(unknown)}"


def test_the_tests_job_is_one_that_the_command_line_takes():
    create = (SERVER / "command" / "create.rs").read_text()
    flags = {flag.replace("_", "-") for flag in re.findall(r"^    (?:pub\(crate\) )?(\w+): ", create, re.M)}
    [command] = [spec["containers"][0]["command"] for name, _, spec in pods(preset("cluster-full")) if name.endswith("-test")]
    assert command[1:3] == ["jobs", "create"]
    for word in command[3:]:
        assert word.startswith("--") and word[2:].split("=")[0] in flags, word


def test_credentials_are_files_that_are_mounted():
    for name in ("cluster-full", "embedded-full", "cluster"):
        for pod, _, spec in pods(preset(name)):
            mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
            assert set(mounts) == {volume["name"] for volume in spec["volumes"]}, pod
            sources = [volume["projected"]["sources"] for volume in spec["volumes"] if volume["name"] == "credentials"]
            files = {
                f"{mounts['credentials']}/{item['path']}"
                for found in sources
                for one in found
                for item in next(iter(one.values()))["items"]
            }
            named = {variable.get("value") for variable in spec["containers"][0]["env"] if variable["name"].endswith("_FILE")}
            assert named - files <= {"/run/trainyard/bootstrap/api-key", "/var/lib/trainyard/api-key"}, pod
            assert files <= named, pod


def test_probes_and_scrapes_ask_for_paths_that_there_are():
    root = SERVER.parents[1]
    api = set(re.findall(r'resource\("(/healthz/\w+)"\)', (root / "api" / "src" / "router.rs").read_text()))
    metrics = set(re.findall(r'\.route\("(/\w+)", web::get', (SERVER / "serve" / "metrics.rs").read_text()))
    served = {"http": api, "metrics": metrics}
    objects = preset("cluster")
    for _, _, spec in pods(objects):
        [container] = spec["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container.get(probe, {}).get("httpGet")
            assert asked is None or asked["path"] in served[asked["port"]], asked
    [monitor] = [one for one in objects if one["kind"] == "ServiceMonitor"]
    assert {endpoint["path"] for endpoint in monitor["spec"]["endpoints"]} <= metrics


def test_numbers_keep_their_digits():
    """Helm holds numbers as floats: 1200000 must not become 1.2e+06."""
    seen = {}
    for preset_name in ("cluster-full", "embedded-full"):
        for _, _, spec in pods(preset(preset_name)):
            seen |= {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    assert seen["TRAINYARD_REQUESTS_PER_MINUTE"] == "1200000" and seen["TRAINYARD_STALL_SECONDS"] == "1000000"
    assert seen["TRAINYARD_PREEMPTION"] == "false" and seen["TRAINYARD_LEASE_SECONDS"] == "90"


def test_values_have_every_setting_of_a_group():
    """The schema closes `settings`, so one that the binary gains has to be added there."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    for group, layer in GROUPS.items():
        assert set(schema[group]["properties"]) == set(layers()[layer]) - OF_THE_CHART, group
        for name, variable in layers()[layer].items():
            assert variable == f"TRAINYARD_{name.upper()}"
