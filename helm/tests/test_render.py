"""Every preset renders, passes Helm's lint and holds only what Kubernetes knows."""

import os
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from conftest import CHART, PRESETS, chart, preset, render, values_of
from crds import SCHEMAS
from helm_python import Config, lint

GOLDEN = Path(__file__).resolve().parent / "golden"


@pytest.mark.parametrize("name", PRESETS)
def test_lints(name):
    report = lint(CHART, values_of(name), strict=True, namespace="prod", kube_version="v1.32.0")
    assert not report["errors"], report
    # Helm asks for an icon; a chart that no catalogue shows needs none.
    told = [message for message in report["messages"] if message["severity"] > 1]
    assert not told, told


# The oldest that the chart takes, and a newer one.
@pytest.mark.parametrize("version", ["1.30", "1.32"])
def test_kubernetes_knows_every_field(rendered, version):
    seen = set()
    for one in rendered:
        if one["kind"] in SCHEMAS:
            jsonschema.validate(one, SCHEMAS[one["kind"]])
        else:
            kubernetes_validate.validate(one, version, strict=True)
        at = (one["kind"], one["metadata"]["name"])
        assert at not in seen, f"{at} is made twice"
        seen.add(at)
    assert any(kind == "Deployment" for kind, _ in seen)


@pytest.mark.parametrize("name", PRESETS)
def test_is_as_it_was(name):
    """A change of what is rendered shows in review. HELM_GOLDEN=write takes what there is now."""
    path = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump_all(without_files(preset(name)), sort_keys=True, width=150)
    if os.environ.get("HELM_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs: look at it, then HELM_GOLDEN=write scripts/test_helm.sh"


@pytest.mark.parametrize("name", PRESETS)
def test_helm_installs_what_is_no_test(name):
    """Helm's own way to a release, without a cluster: the objects of `helm test` are hooks and stay out."""
    release = Config(namespace="prod").install(chart(), "ty", values_of(name), dry_run="client")
    installed = [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(release["manifest"]) if one]
    objects = preset(name)
    hooks = [one for one in objects if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    assert sorted(installed) == sorted((one["kind"], one["metadata"]["name"]) for one in objects if one not in hooks)
    assert {one["kind"] for one in hooks} == ({"ConfigMap", "Pod"} if values_of(name).get("test") else set())


def without_files(objects):
    """Rules and dashboards are files of the chart already and have tests of their own."""
    for one in objects:
        if one["kind"] == "PrometheusRule":
            one["spec"]["groups"] = [group["name"] for group in one["spec"]["groups"]]
        if one["kind"] == "ConfigMap" and "dashboard" in one["metadata"]["name"]:
            one["data"] = sorted(one["data"])
    return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))


def test_notes_warn():
    def notes(values):
        return chart().render(values, name="ty", namespace="prod")["trainyard/templates/NOTES.txt"]

    assert "No alert rules" in notes(values_of("embedded"))
    assert "no TLS" in notes(values_of("cluster-full"))
    assert "Pool 'Scratch_1' has no executor" in notes(values_of("cluster-full"))
    assert "Warnings" not in notes(values_of("embedded-full"))


def test_long_names_stay_apart_and_fit():
    """Two releases whose long names differ at the end, in one namespace."""
    names = [f"{'r' * 52}{end}" for end in "ab"]
    seen = set()
    for name in names:
        for one in render(values_of("gpu"), name=name):
            at = (one["kind"], one["metadata"]["name"])
            assert at not in seen, at
            seen.add(at)
            # KEDA's autoscaler puts "keda-hpa-" before, a Deployment's sets put a hash behind.
            limit = 63 - 11 if one["kind"] in ("Deployment", "ScaledObject") else 63
            assert len(at[1]) <= limit, at
