#!/usr/bin/env bash
# Puts the reference libraries (transformers, PEFT, the openai client) into .venv, for tests and benchmarks only. About 5 GB, because
# torch's wheel brings its CUDA libraries along.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=$(cat scripts/requirements.txt scripts/constraints.txt)
if [ "$wanted" = "$(cat .venv/stamp 2>/dev/null)" ]; then
    exit 0
fi
echo 'setting up the reference libraries in .venv (about 5 GB)'
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt \
    --constraint scripts/constraints.txt
printf '%s\n' "$wanted" >.venv/stamp
