#!/usr/bin/env bash
# A real job from beginning to end: a real model, real data, the real server and its command line. Everything that it makes is in demo/.
set -euo pipefail
cd "$(dirname "$0")/.."

name=smollm2-135m-instruct
data=demo/trainyard-data
profile=${PROFILE:-debug}
trainyard=target/$profile/trainyard

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

step 'Build (the first time takes some minutes)'
build=(cargo build --locked -p trainyard -p trainyard-trainer)
[ "$profile" = release ] && build+=(--release)
"${build[@]}"

mkdir -p "$data"
if [ ! -d "$data/models/$name" ]; then
    step "Import SmolLM2-135M from GGUF as '$name'"
    "$trainyard" models import .cache/models/SmolLM2-135M-Instruct.Q4_1.gguf --name "$name" --data-dir "$data"
fi

step 'Start the server'
# A port of its own, so that a server that runs already is left alone.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
rm -f demo/api-key
# The key of an earlier run cannot be shown again, so the demo begins with a new record; the imported model stays.
rm -rf "$data"/trainyard.db* "$data/objects" "$data/work"
"$trainyard" serve --data-dir "$data" --listen "127.0.0.1:$port" --bootstrap-key-file demo/api-key >demo/server.log 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    curl -sf "$url/healthz/ready" >/dev/null && break
    kill -0 "$server" 2>/dev/null || { cat demo/server.log; exit 1; }
    sleep 0.2
done
export OPENAI_BASE_URL=$url/v1
key=(--api-key-file demo/api-key)
echo "serving at $url (log: demo/server.log)"

step 'Train a LoRA on 40 HumanEval problems, measure on 21 others'
# Some of the 143, so that two cores without bf16 instructions are done within two minutes.
head -n 40 .cache/data/human-eval.train.jsonl >demo/train.jsonl
created=$("$trainyard" jobs create "${key[@]}" --json \
    --model "$name" --training-file demo/train.jsonl --validation-file .cache/data/human-eval.valid.jsonl \
    --epochs 1 --batch-size 4 --learning-rate 5e-4 --seed 7 --suffix demo --set trainyard.evaluation.every_steps=5 | tail -n 1)
job=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["id"])' "$created")
echo "job $job"
"$trainyard" jobs watch "${key[@]}" "$job"

step 'Result'
"$trainyard" jobs get "${key[@]}" --json "$job" | tail -n 1 >demo/job.json
python3 - <<'PY'
import json
job = json.load(open("demo/job.json"))
result = job["trainyard"]["result"]
print(f"validation loss before  {result['initial_valid_loss']:.4f}")
print(f"validation loss after   {result['valid_loss']:.4f}")
print(f"trained tokens          {job['trained_tokens']}")
open("demo/model-name", "w").write(job["fine_tuned_model"])
PY
rm -rf demo/adapter
"$trainyard" models download "${key[@]}" "$(cat demo/model-name)" --out demo/adapter >/dev/null
echo "adapter                 demo/adapter (PEFT loads it on the base model $data/models/$name)"
