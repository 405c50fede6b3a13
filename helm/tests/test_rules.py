"""Recording and alert rules: Prometheus takes them, each fires and each stays quiet, and each tells what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import CHART, named, preset
from promql import faults

RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
TESTS = sorted((CHART / "files" / "rules" / "tests").glob("*.yaml"))
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"


def rules():
    """Every rule of the chart."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def promtool(*words):
    """Runs promtool; Debian's package prometheus has it."""
    assert shutil.which("promtool"), "promtool is missing: scripts/test_helm.sh installs it"
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_prometheus_takes_them(path):
    done = promtool("check", "rules", "--lint-fatal", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_they_fire_and_stay_quiet(path):
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_that_fires_and_one_that_does_not():
    cases = {}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                severities = {alert["exp_labels"]["severity"] for alert in case["exp_alerts"]} or {"none"}
                cases.setdefault(case["alertname"], set()).update(severities)
    wanted = {}
    for rule in rules():
        if "alert" in rule:
            wanted.setdefault(rule["alert"], {"none"}).add(rule["labels"]["severity"])
    assert cases == wanted


def test_each_alert_tells_what_to_do():
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    for name, rule in alerts.items():
        assert re.fullmatch(r"Trainyard([A-Z][a-z]+)+", name), name
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md", name
        runbook = (RUNBOOKS / f"{name}.md").read_text()
        assert runbook.startswith(f"# {name}\n") and "**Means for users:**" in runbook and "\n1. " in runbook, name
    assert {path.stem for path in RUNBOOKS.glob("Trainyard*.md")} == set(alerts), "a runbook without an alert"
    wanted = {}
    for rule in (rule for rule in rules() if "alert" in rule):
        wanted.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    listed = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| ([a-z, ]+) \|", (RUNBOOKS / "README.md").read_text(), re.M)
    assert {name: severities.split(", ") for name, severities in listed} == wanted


def test_rules_ask_for_what_is_there():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        assert not faults(rule["expr"], recorded), (rule, faults(rule["expr"], recorded))


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("rate(trainyard_http_request_total[5m])", "trainyard_http_request_total is no metric"),
        ('trainyard_jobs{status="queued"}', "trainyard_jobs has no label status"),
        ("rate(trainyard_job_queue_wait_seconds[5m])", "trainyard_job_queue_wait_seconds: trainyard_job_queue_wait_seconds is a histogram"),
        ("job:trainyard_nothing:rate5m > 1", "no rule records job:trainyard_nothing:rate5m"),
        ('sum(trainyard_jobs{state=~"a=b"})', None),
    ],
)
def test_a_misspelt_name_is_found(expression, why):
    assert faults(expression) == ([why] if why else [])


def test_keda_asks_for_what_is_there(tmp_path):
    for name in ("gpu", "cluster-full"):
        trigger = named(preset(name), "ScaledObject", "ty-trainyard-executor-gpu")["spec"]["triggers"][0]
        query = trigger["metadata"]["query"]
        assert not faults(query)
    # Two schedulers count the same jobs. A pool that no executor served yet has its jobs among those of "_other": one calls for one
    # executor. Once the pool is known its own count holds, whatever names tenants invent. Without a scheduler there is no answer.
    at = 'namespace="prod",job="ty-trainyard-metrics"'
    known = [("gpu", "queued", 3), ("gpu", "running", 2), ("gpu", "paused", 7), ("default", "queued", 5), ("_other", "queued", 9)]
    idle = [("gpu", "queued", 0), ("gpu", "running", 0), ("_other", "queued", 9)]
    unknown = [("_other", "queued", 9), ("_other", "running", 4), ("default", "running", 1)]
    empty = [("_other", "queued", 0), ("_other", "running", 0)]
    tests = []
    for jobs, value in [(known, 5), (idle, 0), (unknown, 1), (empty, 0), ([], None)]:
        series = [
            {"series": f'trainyard_jobs{{{at},instance="{instance}",pool="{pool}",state="{state}"}}', "values": f"{count}x9"}
            for instance in "ab"
            for pool, state, count in jobs
        ]
        samples = [] if value is None else [{"labels": "{}", "value": value}]
        cases = [{"expr": query, "eval_time": "5m", "exp_samples": samples}]
        tests.append({"interval": "1m", "input_series": series, "promql_expr_test": cases})
    path = tmp_path / "keda.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pool_of_unserved_jobs_is_the_schedulers():
    source = (Path(__file__).resolve().parents[2] / "scheduler" / "src" / "metrics.rs").read_text()
    [other] = re.findall(r'const OTHER_POOL: &str = "(.*)";', source)
    asked = [rule["expr"] for rule in rules() if '_other"' in rule["expr"]]
    query = named(preset("gpu"), "ScaledObject", "ty-trainyard-executor-gpu")["spec"]["triggers"][0]["metadata"]["query"]
    assert len(asked) == 2 and all(f'"{other}"' in expr for expr in [*asked, query])


def test_the_prometheus_rule_has_them_all():
    made = named(preset("embedded-full"), "PrometheusRule", "ty-trainyard")["spec"]["groups"]
    of_files = {group["name"] for path in RULES for group in yaml.safe_load(path.read_text())["groups"]}
    assert {group["name"] for group in made} == of_files
    for rule in (rule for group in made for rule in group["rules"] if "alert" in rule):
        assert rule["annotations"]["runbook_url"] == f"https://example.org/runbooks/{rule['alert']}.md"
        assert rule["labels"]["team"] == "ml" and rule["labels"]["severity"]
        # Prometheus fills these in, not Helm.
        assert "{{" in rule["annotations"]["summary"] + rule["annotations"]["description"]
