"""The images' recipes, and the workflow that builds, signs and describes them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHART, pods, preset

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "images").glob("*.Dockerfile"))
WORKFLOW = ROOT / ".github" / "workflows" / "images.yml"
parametrized = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def tool(*words):
    """Runs a program of the tests' own environment."""
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@parametrized
def test_hadolint_has_nothing_to_say(path):
    tool("hadolint", "--failure-threshold", "style", path)


@parametrized
def test_bases_are_pinned_and_the_compiler_is_the_projects(path):
    text = path.read_text()
    bases = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.M))
    assert set(bases) == {"RUST_IMAGE", "BASE_IMAGE"}
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in bases.values()), bases
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.M)
    made = {name for _, name in stages}
    assert all(base in made or re.fullmatch(r"\$\{\w+_IMAGE\}", base) for base, _ in stages), stages
    [channel] = re.findall(r'^channel = "(.*)"', (ROOT / "rust-toolchain.toml").read_text(), re.M)
    assert bases["RUST_IMAGE"].startswith(f"rust:{channel}-"), bases
    assert f"RUSTUP_TOOLCHAIN={channel}" in text
    others = {dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", one.read_text(), re.M))["BASE_IMAGE"] for one in DOCKERFILES}
    assert len(others) == 1, "one base for all images"


@parametrized
def test_the_last_stage_runs_as_the_charts_user(path):
    last = path.read_text().rsplit("\nFROM ", 1)[1]
    [user] = re.findall(r"^USER (\d+):(\d+)$", last, re.M)
    [_, _, spec] = next(pods(preset("embedded")))
    chart = spec["securityContext"]
    assert user == (str(chart["runAsUser"]), str(chart["runAsGroup"]))
    assert 'ENTRYPOINT ["/usr/local/bin/trainyard"]' in last and "apt-get" not in last
    # The build's own files stay behind.
    assert not re.search(r"^COPY (?!--from=)", last, re.M)


def test_libtorch_lies_where_the_trainer_looks():
    [rpath] = re.findall(r"rpath,\$ORIGIN/(\S+?)\"", (ROOT / "executor" / "trainer" / "build.rs").read_text())
    target = (Path("/usr/local/bin") / rpath).as_posix().replace("bin/../", "")
    assert f"/src/.libtorch/lib/ {target}/" in (ROOT / "images" / "executor.Dockerfile").read_text()


def test_versions_are_the_projects():
    [version] = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version
    for path in DOCKERFILES:
        assert f"ARG VERSION={version}\n" in path.read_text(), path.name


def test_the_workflow_is_one_and_is_safe():
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW)
    tool("zizmor", "--offline", "--persona=pedantic", WORKFLOW)


def test_the_workflow_signs_what_it_pushed():
    text = WORKFLOW.read_text()
    for used in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), used
    job = yaml.safe_load(text)["jobs"]["image"]
    built = {f"{name}.Dockerfile" for name in job["strategy"]["matrix"]["image"]}
    assert built == {path.name for path in DOCKERFILES}
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    script = job["steps"][-1]["run"]
    assert 'cosign sign --yes "$NAME@$DIGEST"' in script and "cosign attest --yes --type cyclonedx" in script
