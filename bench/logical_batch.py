"""What a large logical batch of a private job takes: peak memory of two runs whose micro-batches are alike and whose logical batches are not.

Both train a private LoRA of rank 16 on SmolLM2-135M-Instruct in micro-batches of four lines, which the step's clipped sum is made of one after the
other. Run by `make bench-privacy`; needs the release build and `make demo-assets`.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path

from run import MODEL, demo_model, fast_precision

ROOT = Path(__file__).resolve().parent.parent
MICRO_BATCH = 4
# A private job needs more lines than two small batches have.
LINES_MIN = 16
# Words of a line, each of one token or two.
WORDS = ["the", "river", "stone", "light", "under", "seven", "green", "walks", "slowly", "north", "paper", "voice"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", default=ROOT / "target/release/trainyard-trainer", type=Path)
    parser.add_argument("--logical", type=int, default=512, help="lines of the large logical batch")
    parser.add_argument("--words", type=int, default=24, help="words of a line")
    args = parser.parse_args()
    demo_model(args.trainer)
    peaks = {}
    for logical in (MICRO_BATCH, args.logical):
        peaks[logical], steps = peak(args, logical)
        print(f"logical batch {logical:4}, micro-batch {MICRO_BATCH}: {peaks[logical]:.0f} MiB at most, {steps} steps", flush=True)
    print(f"{peaks[args.logical] / peaks[MICRO_BATCH]:.2f} x the memory for {args.logical // MICRO_BATCH} x the batch")


def peak(args, logical):
    """Peak resident MiB of a short private run, and how many steps it took."""
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "train.jsonl"
        text = (" ".join(draw.choice(WORDS) for _ in range(args.words)) for _ in range(max(LINES_MIN, 2 * logical)))
        lines.write_text("".join(json.dumps({"text": line}) + "\n" for line in text))
        spec = Path(folder) / "spec.json"
        spec.write_text(json.dumps({
            "model": str(MODEL), "training_file": str(lines), "seed": 1,
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": logical}}},
            "trainyard": {
                "privacy": {"noise_multiplier": 1.0},
                "adapter": {"type": "lora", "rank": 16},
                "precision": fast_precision(),
                "batching": {"micro_batch_size": MICRO_BATCH},
            },
        }))
        command = [args.trainer, "run", spec, "--out", Path(folder) / "out", "--threads", str(os.cpu_count()), "--quiet"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        events = [json.loads(line) for line in process.stdout]
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run ended with {status}: {events[-1:]}")
    return usage.ru_maxrss / 1024, sum(event["event"] == "step" for event in events)


if __name__ == "__main__":
    main()
