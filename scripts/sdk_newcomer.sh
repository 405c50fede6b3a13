#!/usr/bin/env bash
# How long a newcomer needs from nothing to the first finished job, in Python and in TypeScript: a fresh environment, the package with what
# it needs (fetched, no cache), then upload, create and wait against a server with the tiny model. Wants scripts/sdk_test.sh to have run.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$PWD/.cache/sdk/dist
trainyard=${TRAINYARD_BIN:-$PWD/target/debug/trainyard}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$work"' EXIT
mkdir -p "$work/data/models" && cp -r tests/fixtures/tiny "$work/data/models"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$trainyard" serve --data-dir "$work/data" --listen "127.0.0.1:$port" --bootstrap-key-file "$work/key" >"$work/log" 2>&1 &
server=$!
export TRAINYARD_URL=http://127.0.0.1:$port NO_PROXY=127.0.0.1
for _ in $(seq 150); do
    curl -sf "$TRAINYARD_URL/healthz/ready" >/dev/null && break
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.2
done
TRAINYARD_API_KEY=$(cat "$work/key")
export TRAINYARD_API_KEY
for i in $(seq 40); do
    echo "{\"messages\": [{\"role\": \"user\", \"content\": \"Say $i.\"}, {\"role\": \"assistant\", \"content\": \"$i\"}]}"
done >"$work/train.jsonl"

now() { python3 -c 'import time; print(time.monotonic())'; }
report() { python3 -c 'import sys; a, b, c = map(float, sys.argv[2:]); print(f"{sys.argv[1]}: installed after {b - a:.1f} s, first job finished after {c - a:.1f} s")' "$@"; }

cd "$work"
begin=$(now)
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir "$dist"/*.whl
installed=$(now)
venv/bin/python - <<'PY'
from trainyard import Trainyard

client = Trainyard()
training = client.files.upload("train.jsonl")
job = client.jobs.create({"model": "tiny", "training_file": training.id})
print(client.jobs.wait(job.id, timeout=900).fine_tuned_model)
PY
report Python "$begin" "$installed" "$(now)"

begin=$(now)
mkdir node && cd node
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --cache "$work/npm" "$dist"/*.tgz
installed=$(now)
cat >first.mjs <<'JS'
import { Trainyard } from "trainyard";
import { fileFromPath } from "trainyard/node";

const client = new Trainyard();
const training = await client.files.upload(await fileFromPath("../train.jsonl"));
const job = await client.jobs.create({ model: "tiny", training_file: training.id });
console.log((await client.jobs.wait(job.id, { timeoutMs: 900_000 })).fine_tuned_model);
JS
node first.mjs
report TypeScript "$begin" "$installed" "$(now)"
