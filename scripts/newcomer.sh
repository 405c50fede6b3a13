#!/usr/bin/env bash
# How long a newcomer needs from a clone to the first finished job with the command line: clone, start the server, put the tiny model there,
# upload, create and watch, download. Programs that are built already are taken as they are, because building is told apart:
#   scripts/newcomer.sh                         the programs of target/release
#   TRAINYARD_DIR=target/debug scripts/newcomer.sh
#   BUILD=1 scripts/newcomer.sh                 builds the clone (make build), and says how long that took
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
programs=$(realpath "${TRAINYARD_DIR:-target/release}")
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$work"' EXIT
now() { date +%s.%N; }
begin=$(now)
say() { python3 -c 'import sys; print(f"{float(sys.argv[2]) - float(sys.argv[1]):7.1f} s  {sys.argv[3]}")' "$begin" "$(now)" "$1"; }

git clone --quiet "$here" "$work/trainyard"
say 'cloned'
cd "$work/trainyard"
if [ -n "${BUILD:-}" ]; then
    make --silent build
    programs=$PWD/target/debug
    say 'built'
fi
mkdir -p trainyard-data/models && cp -r tests/fixtures/tiny trainyard-data/models
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$programs/trainyard" serve --listen "127.0.0.1:$port" --bootstrap-key-file "$work/key" >"$work/log" 2>&1 &
server=$!
export TRAINYARD_URL=http://127.0.0.1:$port NO_PROXY=127.0.0.1
until curl -sf "$TRAINYARD_URL/healthz/ready" >/dev/null; do
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.05
done
TRAINYARD_API_KEY=$(cat "$work/key")
export TRAINYARD_API_KEY
say 'the server answers'
for i in $(seq 40); do
    echo "{\"messages\": [{\"role\": \"user\", \"content\": \"Say $i.\"}, {\"role\": \"assistant\", \"content\": \"$i\"}]}"
done >train.jsonl
file=$("$programs/trainyard" files upload train.jsonl --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
say 'uploaded'
"$programs/trainyard" jobs create --model tiny --training-file "$file" --watch >"$work/watched"
say 'the first job has finished'
model=$("$programs/trainyard" jobs list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["fine_tuned_model"])')
"$programs/trainyard" models download "$model" --out adapter >/dev/null
test -s adapter/adapter_model.safetensors
say 'its adapter is here'
