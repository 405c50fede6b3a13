#!/usr/bin/env bash
# The SDKs: generated anew they are the same, their types hold, their packages install into clean environments, and those work against
# the real server (target/debug/trainyard, or what TRAINYARD_BIN names), which trains a real, tiny model.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/.cache/sdk
tools=$cache/venv/bin
export TRAINYARD_BIN=${TRAINYARD_BIN:-$PWD/target/debug/trainyard} PYTHONDONTWRITEBYTECODE=1 NO_PROXY=127.0.0.1
[ -x "$TRAINYARD_BIN" ] || { echo "no server at $TRAINYARD_BIN: make build"; exit 1; }

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

step 'Drift'
rm -rf "$cache/drift" && mkdir -p "$cache/drift"
cp -r openapi/openapi.json openapi/sdk "$cache/drift"
scripts/sdk.sh "$cache/drift"
diff -r openapi/sdk "$cache/drift/sdk" || { echo 'the SDKs are not what openapi/openapi.json generates: make sdk'; exit 1; }
if grep -nE 'https?://[^"]*registry|"resolved"' openapi/sdk/typescript/package-lock.json; then
    echo 'the lock file names a registry: npm install --omit-lockfile-registry-resolved'
    exit 1
fi

step 'Types'
(
    cd openapi/sdk/python
    "$tools/ruff" check --quiet src tests
    "$tools/ruff" format --quiet --check src tests
    MYPYPATH=src "$tools/mypy" src tests
)
node=$cache/typescript
rm -rf "$node/src" "$node/tests" "$node/dist"
cp -r openapi/sdk/typescript/. "$node"
(cd "$node" && npm run --silent build && npm run --silent check)

step 'Packages'
rm -rf "$cache/dist" "$cache/clean" && mkdir -p "$cache/dist" "$cache/clean/typescript"
"$tools/python" -m build --no-isolation --outdir "$cache/dist" openapi/sdk/python >"$cache/build.log" || { cat "$cache/build.log"; exit 1; }
(cd "$node" && npm pack --silent --pack-destination "$cache/dist" >/dev/null)
ls "$cache/dist"
python3 -m venv "$cache/clean/python"
clean=$cache/clean/python/bin
"$clean/pip" install --quiet --disable-pip-version-check --constraint openapi/sdk/requirements.txt "$cache"/dist/*.whl pytest pytest-asyncio
(cd "$cache/clean/typescript" && npm init --yes >/dev/null && npm pkg set type=module \
    && npm install --silent --no-audit --no-fund --offline "$cache"/dist/*.tgz)

step 'Python against the server'
"$clean/python" -m pytest -q --no-header -p no:cacheprovider -c openapi/sdk/python/pyproject.toml openapi/sdk/python/tests

step 'TypeScript against the server'
# Compiled against the installed package, so that its published types are what is checked.
cp -r openapi/sdk/typescript/tests openapi/sdk/typescript/tsconfig.tests.json "$cache/clean/typescript"
mkdir -p "$cache/clean/typescript/node_modules/@types"
cp -r "$node"/node_modules/@types/node "$cache/clean/typescript/node_modules/@types/"
cp -r "$node"/node_modules/undici-types "$cache/clean/typescript/node_modules/"
export TINY_MODEL=$PWD/tests/fixtures/tiny
(cd "$cache/clean/typescript" && "$node/node_modules/.bin/tsc" --project tsconfig.tests.json && node --test --test-reporter=spec built/)
