"""A trainer that does what no real one can be made to do: ignores commands, writes garbage, dies at a chosen moment.

Usage: double.py BEHAVIOUR run ... --plan RUN.json --out DIR. It speaks the protocol of trainyard_plan::trainer.
"""

import hashlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

behaviour, arguments = sys.argv[1], sys.argv[2:]
out = Path(arguments[arguments.index("--out") + 1])
plan = json.loads(Path(arguments[arguments.index("--plan") + 1]).read_text())["plan"]
TOTAL = 10


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def directory(path, step, files):
    path.mkdir(parents=True)
    manifest = {"step": step, "plan_sha256": "", "files": {}}
    for name, text in files.items():
        (path / name).write_text(text)
        manifest["files"][name] = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    text = json.dumps(manifest)
    (path / "manifest.json").write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def checkpoint(step):
    name = f"checkpoints/step-{step:06}"
    say("checkpoint", step=step, directory=name, manifest_sha256=directory(out / name, step, {"state.json": str(step)}),
        train_loss=1.0, train_mean_token_accuracy=0.5, valid_loss=None, valid_mean_token_accuracy=None)


def started(begin):
    say("started", device="cpu", parameters=10, trainable_parameters=2, total_steps=TOTAL, resumed_from_step=begin,
        packing=False, data_report={"truncated": 3}, validation_report=None, training_data_sha256="00")


def step(number):
    say("step", step=number, total_steps=TOTAL, epoch=0.5, train_loss=1.0 / number, train_mean_token_accuracy=0.5, learning_rate=1e-4,
        grad_norm=1.0, tokens=number * 10, target_tokens=number, tokens_per_second=100.0, eta_seconds=1.0, training_seconds=1.0)


def finish():
    digest = directory(out / "adapter", TOTAL, {"metrics.csv": "step\n", "adapter_model.safetensors": "weights"})
    say("finished", directory="adapter", manifest_sha256=digest, adapter_sha256="00", steps=TOTAL, stopped_early=False, train_loss=0.1,
        initial_valid_loss=None, valid_loss=None, valid_mean_token_accuracy=None, tokens=100, target_tokens=10, training_seconds=1.0)


def command():
    """What the agent has said, if anything; its end ends us, as it does the real one."""
    if select.select([sys.stdin], [], [], 0.02)[0]:
        line = sys.stdin.readline()
        if not line:
            os._exit(1)
        return json.loads(line)["command"]
    return None


def reserve(until):
    """Asks for steps, and waits for them."""
    say("reserve", **{"from": begin}, until=until)
    answer = json.loads(sys.stdin.readline())
    assert answer["command"] == "reserved", answer
    return answer["until"]


def private_step(number):
    say("step", step=number, total_steps=TOTAL, epoch=0.5, train_loss=None, train_mean_token_accuracy=None, learning_rate=1e-4,
        grad_norm=1.0, tokens=number * 10, target_tokens=number, tokens_per_second=100.0, eta_seconds=1.0, training_seconds=1.0)


kept = sorted((out / "checkpoints").glob("step-*")) if (out / "checkpoints").is_dir() else []
begin = int(kept[-1].name.removeprefix("step-")) if kept else 0
started(begin)
if behaviour == "complete":
    for number in range(begin + 1, TOTAL + 1):
        step(number)
        if number == 5:
            checkpoint(number)
    finish()
elif behaviour == "private":
    if begin == 0:
        assert reserve(5) == 5
        for number in (1, 2, 3):
            private_step(number)
        checkpoint(3)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    assert reserve(8) == 8
    assert reserve(12) == 12
    for number in range(begin + 1, TOTAL + 1):
        private_step(number)
    finish()
elif behaviour == "greedy":
    reserve(1_000_000)
elif behaviour == "flood":
    for number in range(1, 5001):
        step(number)
    finish()
elif behaviour == "obey":
    number = begin
    while True:
        number += 1
        step(number)
        wish = command()
        if wish == "cancel":
            say("cancelled", step=number)
            sys.exit(130)
        if wish == "stop":
            checkpoint(number)
            say("stopped", step=number)
            sys.exit(75)
elif behaviour == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    say("log", level="info", message=f"pids {os.getpid()} {child}")
    time.sleep(600)
elif behaviour == "die-once":
    for number in range(begin + 1, TOTAL + 1):
        step(number)
        if number == 3:
            checkpoint(number)
            time.sleep(0.5)
            print("about to die", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    finish()
elif behaviour == "hang":
    for number in range(begin + 1, begin + 4):
        step(number)
    checkpoint(begin + 3)
    while True:
        say("log", level="info", message="still here")
        time.sleep(0.2)
elif behaviour == "hang-at-start":
    time.sleep(600)
elif behaviour == "slow":
    step(begin + 1)
    for _ in range(8):
        time.sleep(0.5)
        say("working", stage="evaluating")
    say("working", stage="exporting")
    time.sleep(2.5)
    finish()
elif behaviour == "smaller":
    rows = json.loads(Path(arguments[arguments.index("--plan") + 1]).read_text()).get("micro_batch_size")
    if rows is None:
        say("failed", code="out_of_memory", message="no memory", param=None, user=False)
        sys.exit(1)
    say("micro_batch_reduced", step=1, **{"from": rows + 1}, to=rows, reason="can't allocate memory")
    finish()
elif behaviour == "die":
    os.kill(os.getpid(), signal.SIGSEGV)
elif behaviour == "refuse":
    say("failed", code="invalid_data", message="train.jsonl: line 7: text: is missing", param="training_file", user=True)
    sys.exit(2)
elif behaviour == "garbage":
    for number in range(20):
        print("this is no event", number, flush=True)
    print("x" * (2 << 20), flush=True)
    step(1)
    finish()
elif behaviour == "noise":
    while True:
        print("noise", flush=True)
elif behaviour == "environment":
    say("log", level="info", message="environment " + json.dumps(dict(os.environ)) + " in " + os.getcwd())
    finish()
elif behaviour == "lie":
    digest = directory(out / "adapter", TOTAL, {"metrics.csv": "step\n", "adapter_model.safetensors": "weights"})
    say("finished", directory="adapter", manifest_sha256="0" * 64, adapter_sha256="00", steps=TOTAL, stopped_early=False, train_loss=0.1,
        initial_valid_loss=None, valid_loss=None, valid_mean_token_accuracy=None, tokens=100, target_tokens=10, training_seconds=1.0)
