#!/usr/bin/env bash
# Tests the Helm chart, its rules and dashboards: no cluster is needed.
#   scripts/test_helm.sh [WORD...]                    words go to pytest
#   HELM_GOLDEN=write scripts/test_helm.sh            takes what is rendered now as what was meant
# Helm's engine and Kubernetes' schemas go into .cache/helm-venv (about 500 MB), promtool, where the machine has none, into .cache/helm-tools.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.cache/helm-venv
wanted=$(cat helm/tests/requirements.txt)
if [ "$wanted" != "$(cat "$venv/stamp" 2>/dev/null)" ]; then
    echo 'setting up the tests of the chart in .cache/helm-venv'
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement helm/tests/requirements.txt
    printf '%s\n' "$wanted" >"$venv/stamp"
fi

# The package itself would start a server: its program is taken out of it.
tools=$PWD/.cache/helm-tools
export PATH=$PATH:$tools/usr/bin
if ! command -v promtool >/dev/null; then
    echo 'fetching promtool from the package prometheus'
    mkdir -p "$tools"
    sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    (cd "$tools" && apt-get download -qq prometheus 2>/dev/null) || {
        "${sudo[@]}" apt-get update -qq
        (cd "$tools" && apt-get download -qq prometheus)
    }
    dpkg-deb --fsys-tarfile "$tools"/prometheus_*.deb | tar -x -C "$tools" ./usr/bin/promtool
    rm "$tools"/prometheus_*.deb
fi

exec "$venv/bin/python" -m pytest -q -p no:cacheprovider helm/tests "$@"
