"""Dashboards: well formed, only of what is there, and every question gets an answer."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHART, preset
from promql import KNOWN, SELECTOR, base_of, faults

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((CHART / "files" / "dashboards").glob("*.json"))}
# Never to be changed: links and bookmarks hold them.
UIDS = {
    "service": "trainyard-service",
    "scheduler": "trainyard-scheduler",
    "training": "trainyard-training",
    "privacy": "trainyard-privacy",
}
# What Grafana puts in, as an example.
CHOSEN = {"$namespace": "prod", "$job": "ty-metrics", "$pool": ".*", "$__rate_interval": "5m", "$__range": "30m"}
# Values that a label has in the examples; others get one of their own.
EXAMPLES = {
    "state": ["queued", "dispatched", "running", "paused", "busy", "free"],
    "code": ["200", "500"],
    "route": ["/v1/models"],
}
parametrized = pytest.mark.parametrize("name", DASHBOARDS)


def panels(dashboard):
    """Every panel but the rows' heads."""
    return [one for one in dashboard["panels"] if one["type"] != "row"]


def targets(dashboard):
    """(title, target) of every question."""
    return [(one["title"], target) for one in panels(dashboard) for target in one["targets"]]


def test_are_those_of_their_sources():
    script = CHART.parent / "dashboards" / "write.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_have_stable_uids():
    assert {name: dashboard["uid"] for name, dashboard in DASHBOARDS.items()} == UIDS


@parametrized
def test_are_well_formed(name):
    dashboard = DASHBOARDS[name]
    assert dashboard["id"] is None and dashboard["editable"] is False
    sources = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert [(one["name"], one["query"]) for one in sources] == [("datasource", "prometheus")]
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    ids = [one["id"] for one in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for one in panels(dashboard):
        asked = [one, *one["targets"]]
        assert all(it["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for it in asked), one["title"]
        assert one["title"] and one["description"] and one["fieldConfig"]["defaults"]["unit"], one["title"]
        refs = [target["refId"] for target in one["targets"]]
        assert len(refs) == len(set(refs)), one["title"]
    for title, target in targets(dashboard):
        used = set(re.findall(r"\$(?!__)(\w+)", target["expr"]))
        assert used <= variables, (title, used)
        # Each question is about one release: without both, those of others are counted too.
        for metric, matchers in SELECTOR.findall(target["expr"]):
            assert 'namespace="$namespace",job="$job"' in matchers, (title, metric)


@parametrized
def test_panels_do_not_overlap(name):
    def cells(panel):
        place = panel["gridPos"]
        return set(itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])))

    taken = set()
    for one in DASHBOARDS[name]["panels"]:
        own = cells(one)
        assert not own & taken and max(x for x, _ in own) < 24, one["title"]
        taken |= own


@parametrized
def test_ask_for_what_is_there(name):
    for title, target in targets(DASHBOARDS[name]):
        assert not faults(target["expr"]), (title, faults(target["expr"]))
        windows = re.findall(r"\[([^\]]+)\]", target["expr"])
        assert set(windows) <= {"$__rate_interval", "$__range"}, (title, windows)
        for counter in (metric for metric, _ in SELECTOR.findall(target["expr"]) if metric.endswith("_total")):
            assert windows or counter == "trainyard_privacy_epsilon_charged_total", f"{title}: {counter} without a rate"


def test_every_metric_is_shown():
    shown = {
        base_of(metric)[0] for one in DASHBOARDS.values() for _, target in targets(one) for metric, _ in SELECTOR.findall(target["expr"])
    }
    assert shown == set(KNOWN)


def example(name, about):
    """Series of a metric, as a process would have them."""
    labels = {label: EXAMPLES.get(label, ["one"]) for label in about["labels"]}
    kinds = {"histogram": ["_bucket", "_count", "_sum"]}.get(about["type"], [""])
    for kind in kinds:
        own = labels | ({"le": ["0.5", "1", "+Inf"]} if kind == "_bucket" else {})
        for chosen in itertools.product(*own.values()):
            pairs = {"namespace": "prod", "job": "ty-metrics", "pod": "a", "instance": "a"} | dict(zip(own, chosen, strict=True))
            matchers = ",".join(f'{label}="{value}"' for label, value in pairs.items())
            values = "1x60" if about["type"] == "gauge" else "0+3x60"
            yield {"series": f"{name}{kind}{{{matchers}}}", "values": values}


@parametrized
def test_every_question_gets_an_answer(name, tmp_path):
    """Prometheus itself answers each, out of one series of every metric: an alert on it fires, which it does where there is an answer."""
    assert shutil.which("promtool"), "promtool is missing: scripts/test_helm.sh installs it"
    rules, cases = [], []
    for number, (title, target) in enumerate(targets(DASHBOARDS[name])):
        expr = target["expr"]
        for variable, value in CHOSEN.items():
            expr = expr.replace(variable, value)
        assert "$" not in expr, (title, expr)
        alert = f"Answered{number}"
        rules.append({"alert": alert, "expr": f"count({expr}) > 0", "annotations": {"title": title}})
        fires = [{"exp_labels": {}, "exp_annotations": {"title": title}}]
        cases.append({"eval_time": "45m", "alertname": alert, "exp_alerts": fires})
    series = [one for metric, about in KNOWN.items() for one in example(metric, about)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    tests = {"rule_files": ["rules.yaml"], "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": cases}]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configmaps_hold_them_whole():
    made = [one for one in preset("cluster") if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    found = {}
    for one in made:
        [(key, text)] = one["data"].items()
        found[Path(key).stem.removeprefix("trainyard-")] = json.loads(text)
    assert found == DASHBOARDS
