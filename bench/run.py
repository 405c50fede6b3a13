"""Speed and memory of a training step: Trainyard beside transformers (+ PEFT), on the same weights and the same tokens.

All train SmolLM2-135M-Instruct with LoRA on all linear layers, or all of its weights (--full), and AdamW on one batch of random tokens. They take turns, so that what else
the machine does falls on all; the figures are medians over all timed steps. The first losses must agree: it is the same work. Last comes the
roofline: the step's matrix products alone, each at the best rate of its shape.

Run by `make bench`; needs .venv, the release build of trainyard-trainer, and the GGUF file of `make demo-assets`.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GGUF = ROOT / ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = ROOT / ".cache/models/smollm2"
# What the peer is started with beside the common settings, and whether with jemalloc.
PEERS = {
    "transformers + peft": ([], False),
    "the same, jemalloc": ([], True),
    "the same, compiled, jemalloc": (["--compile"], True),
}
JEMALLOC = [Path(folder) / "libjemalloc.so.2" for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64")]
# The same of private steps, beside our own that are not private.
PRIVATE_PEERS = {
    "opacus, hooks": (["--private"], False),
    "opacus, hooks, jemalloc": (["--private"], True),
}
# The same of full fine-tuning. What is equivalent to ours keeps fp32 weights; pure bf16 weights learn less at small rates, but cost less.
FULL_PEERS = {
    "transformers, fp32 weights": (["--full"], False),
    "the same, with jemalloc": (["--full"], True),
    "transformers, bf16 weights, jemalloc": (["--full", "--narrow"], True),
}
KNOWN = PEERS | PRIVATE_PEERS | FULL_PEERS
# Before training the two differ only by the rounding of their kernels.
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 3e-2}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", type=Path, default=ROOT / "target/release/trainyard-trainer")
    parser.add_argument("--model", type=Path, default=MODEL, help="a model directory; the default is made from the demo's GGUF file")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16" if bf16_instructions() else "fp32",
                        help="by default bf16 where the processor has instructions for it")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each process")
    parser.add_argument("--private", action="store_true", help="private steps, beside Opacus and beside our own without privacy")
    parser.add_argument("--full", action="store_true", help="train all weights instead of a LoRA")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--peers", nargs="*", choices=list(KNOWN), help="whom to run beside it; by default all of its kind")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    args = parser.parse_args()

    if args.peers is None:
        # No peer takes private steps of all weights of a model with a tied head.
        args.peers = [] if args.full and args.private else list(FULL_PEERS if args.full else PRIVATE_PEERS if args.private else PEERS)
        if args.precision == "fp32":
            args.peers = [name for name in args.peers if "--narrow" not in KNOWN[name][0]]
    if not args.trainer.is_file():
        sys.exit(f"{args.trainer} is missing: make release")
    if args.model == MODEL and not MODEL.is_dir():
        if not GGUF.is_file():
            sys.exit(f"{GGUF} is missing: make demo-assets")
        subprocess.run([args.trainer, "import", GGUF, "--out", MODEL], check=True)
    vocabulary = json.loads((args.model / "config.json").read_text())["vocab_size"]
    with tempfile.TemporaryDirectory() as directory:
        tokens = Path(directory) / "tokens.json"
        draw = random.Random(1)
        tokens.write_text(json.dumps([[draw.randrange(vocabulary) for _ in range(args.length)] for _ in range(args.batch)]))
        common = ["--model", args.model, "--tokens", tokens, "--rank", args.rank, "--precision", args.precision,
                  "--threads", args.threads, "--steps", args.steps]
        if args.gradient_checkpointing:
            common.append("--gradient-checkpointing")
        ours = [args.trainer, "bench-step", "--batch", args.batch, "--length", args.length, *common] + ["--full"] * args.full
        peer = [sys.executable, ROOT / "bench/peft_step.py", *common]
        commands = {"trainyard": (ours + ["--private"] * args.private, {})}
        if args.private:
            commands["trainyard, not private"] = (ours, {})
        commands |= {name: (peer + KNOWN[name][0], environment(KNOWN[name][1])) for name in args.peers}
        runs = {name: [] for name in commands}
        for number in range(args.rounds):
            for name, (command, more) in commands.items():
                print(f"round {number + 1}/{args.rounds}: {name}", file=sys.stderr)
                runs[name].append(step(command, args.threads, more))
    shape = ["--model", args.model, "--batch", args.batch, "--length", args.length, "--rank", args.rank,
             "--precision", args.precision, "--threads", args.threads]
    print("roofline", file=sys.stderr)
    report(runs, None if args.full else step([args.trainer, "bench-roofline", *shape], args.threads, {}), args)


def environment(jemalloc):
    """What a peer is started with."""
    if not jemalloc:
        return {}
    library = next((path for path in JEMALLOC if path.is_file()), None)
    if library is None:
        sys.exit("peers with jemalloc need it: apt-get install libjemalloc2")
    return {"LD_PRELOAD": str(library)}


def step(command, threads, more):
    """The figures of one process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}
    done = subprocess.run([str(part) for part in command], env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def report(runs, roofline, args):
    tokens = args.batch * args.length
    rows = {}
    for name, figures in runs.items():
        seconds = [second for figure in figures for second in figure["step_seconds"]]
        rows[name] = {
            "tokens_per_second": tokens / statistics.median(seconds),
            "slowest": tokens / max(seconds),
            "fastest": tokens / min(seconds),
            "peak_rss_bytes": max(figure["peak_rss_bytes"] for figure in figures),
            "first_step_seconds": statistics.median(figure["first_step_seconds"] for figure in figures),
            "first_loss": figures[0]["losses"][0],
            "last_loss": figures[0]["losses"][-1],
        }
    ours = rows["trainyard"]
    private = ", private steps" if args.private else ""
    recomputing = private + (", gradient checkpointing" if args.gradient_checkpointing else "")
    trained = "all weights" if args.full else f"LoRA rank {args.rank} on all linear layers"
    print(f"\n{args.model.name}, {trained}, batch {args.batch} x {args.length}, {args.precision}{recomputing}, "
          f"{args.threads} threads, {args.rounds} x {args.steps} steps\n{processor()}\n")
    print(f"{'':34}{'tokens/s':>10}{'(range)':>16}{'peak MiB':>10}{'first step s':>14}{'first loss':>12}{'last loss':>11}"
          f"{'our speed':>11}{'our memory':>12}")
    for name, row in rows.items():
        spread = f"{row['slowest']:.0f}-{row['fastest']:.0f}"
        against = "" if name == "trainyard" else (f"{ours['tokens_per_second'] / row['tokens_per_second']:10.2f}x"
                                                  f"{ours['peak_rss_bytes'] / row['peak_rss_bytes']:11.2f}x")
        print(f"{name:34}{row['tokens_per_second']:10.0f}{spread:>16}{row['peak_rss_bytes'] / 2**20:10.0f}"
              f"{row['first_step_seconds']:14.1f}{row['first_loss']:12.4f}{row['last_loss']:11.4f}{against}")
    bound = roofline and roofline["tokens_per_second"]
    if bound:
        print(f"\nbound by matrix products of these shapes alone ({roofline['format']}, {roofline['gflop_per_second']:.0f} GFLOP/s): {bound:.0f} tokens/s; "
              + ", ".join(f"{name} {100 * row['tokens_per_second'] / bound:.0f} %" for name, row in rows.items()))
    if args.json:
        settings = vars(args) | {"processor": processor()}
        args.json.write_text(json.dumps({"settings": settings, "runs": runs, "roofline": roofline, "summary": rows}, indent=1, default=str))
    for name, row in rows.items():
        if abs(ours["first_loss"] - row["first_loss"]) > LOSS_TOLERANCE[args.precision]:
            sys.exit(f"the first losses of trainyard and {name} differ: they did not do the same work")


def cpuinfo():
    with open("/proc/cpuinfo") as file:
        return file.read().splitlines()


def bf16_instructions():
    """Which of them the processor has."""
    flags = next((line.split() for line in cpuinfo() if line.startswith("flags")), [])
    return [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]


def processor():
    """What the machine says of itself."""
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo() if line.startswith("model name")), platform.processor())
    return f"{model}, {os.cpu_count()} processors, {' '.join(bf16_instructions()) or 'no bf16 instructions'}"


if __name__ == "__main__":
    main()
