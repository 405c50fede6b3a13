#!/usr/bin/env bash
# Writes the generated half of the SDKs from openapi/openapi.json, with the pinned tools of openapi/sdk. Everything else that it makes
# lies in .cache/sdk: a venv, and a copy of the TypeScript project with its node_modules.
# With an argument: the folder that holds openapi.json and sdk/, in place of openapi/.
set -euo pipefail
cd "$(dirname "$0")/.."
openapi=$(realpath "${1:-openapi}")
cache=$PWD/.cache/sdk
mkdir -p "$cache/typescript"

if ! cmp -s openapi/sdk/requirements.txt "$cache/venv/stamp"; then
    echo 'setting up the SDK tools in .cache/sdk'
    rm -rf "$cache/venv"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement openapi/sdk/requirements.txt
    cp openapi/sdk/requirements.txt "$cache/venv/stamp"
fi
if ! cmp -s openapi/sdk/typescript/package-lock.json "$cache/typescript/stamp"; then
    cp openapi/sdk/typescript/package.json openapi/sdk/typescript/package-lock.json "$cache/typescript"
    (cd "$cache/typescript" && npm ci --silent --no-audit --no-fund --ignore-scripts)
    cp openapi/sdk/typescript/package-lock.json "$cache/typescript/stamp"
fi

"$cache/venv/bin/python" -B "$openapi/sdk/generate/python.py"
"$cache/venv/bin/python" -B "$openapi/sdk/generate/typescript.py" "$cache/typescript/node_modules/.bin/openapi-typescript"
