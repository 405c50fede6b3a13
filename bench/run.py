"""Speed and memory of a training step: Trainyard beside transformers (+ PEFT), on the same weights and the same tokens.

All train SmolLM2-135M-Instruct with LoRA on all linear layers, or all of its weights (--full), and AdamW on one batch of random tokens. Each other side
runs beside one of ours, and the two take single steps in turns, so that what else the machine does falls on both: speeds are compared step by
step (median, and the range of the middle half), all other figures are medians over all steps. The first losses must agree: it is the same work. Beside
them, once a round, the roofline: the step's matrix products alone, each at the best rate of its shape, and the same with attention at the best rate of
libtorch's own operator.

With `--device cuda` the same on a GPU: a Llama of 1B parameters with random weights, 4 x 2,048 tokens, memory that of the device, beside it the
model's FLOPs utilisation, and first the losses of small steps on GPU and processor, which must agree. Where there is no GPU it says so and ends.

Run by `make bench` and `make bench-gpu`; needs .venv, the release build of trainyard-trainer, and, without a GPU, the GGUF file of
`make demo-assets`.
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

import gpu
from turns import alone, in_turns, surroundings

ROOT = Path(__file__).resolve().parent.parent
GGUF = ROOT / ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = ROOT / ".cache/models/smollm2"
# What the peer is started with beside the common settings, and whether with jemalloc.
PEERS = {
    "transformers + peft": ([], False),
    "the same, jemalloc": ([], True),
    "the same, compiled, jemalloc": (["--compile"], True),
}
GPU_PEERS = {
    "transformers + peft, SDPA": ([], False),
    "the same, compiled": (["--compile"], False),
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
KNOWN = PEERS | PRIVATE_PEERS | FULL_PEERS | GPU_PEERS
# Before training the two differ only by the rounding of their kernels.
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 3e-2}
# Of losses on the GPU to those on the processor, of themselves.
PARITY_TOLERANCE = {"fp32": 1e-4, "bf16": 1e-2}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", type=Path, default=ROOT / "target/release/trainyard-trainer")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--peak-tflops", type=float, help="what the GPU does at best in bf16; by default what its maker says")
    parser.add_argument("--model", type=Path, help="a model directory; the default is made from the demo's GGUF file, or for a GPU of random weights")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, help="tokens of a row; by default 512, on a GPU 2,048")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="by default bf16 on a GPU and where the processor has instructions for it")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each process")
    parser.add_argument("--private", action="store_true", help="private steps, beside Opacus and beside our own without privacy")
    parser.add_argument("--full", action="store_true", help="train all weights instead of a LoRA")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--peers", nargs="*", choices=list(KNOWN), help="whom to run beside it; by default all of its kind")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    args = parser.parse_args()

    on_gpu = args.device == "cuda"
    if on_gpu and gpu.name() is None:
        print("skipped: there is no GPU here (nvidia-smi names none)")
        return
    if args.peers is None:
        # No peer takes private steps of all weights of a model with a tied head.
        alike = GPU_PEERS if on_gpu else FULL_PEERS if args.full else PRIVATE_PEERS if args.private else PEERS
        args.peers = [] if args.full and args.private else list(alike)
    args.length = args.length or (2048 if on_gpu else 512)
    args.precision = args.precision or ("bf16" if on_gpu else fast_precision())
    if args.precision == "fp32":
        args.peers = [name for name in args.peers if "--narrow" not in KNOWN[name][0]]
    if not args.trainer.is_file():
        sys.exit(f"{args.trainer} is missing: make release")
    args.model = args.model or default_model(args)
    if not (args.model / "config.json").is_file():
        sys.exit(f"{args.model} has no config.json: --model names a model's directory")
    vocabulary = json.loads((args.model / "config.json").read_text())["vocab_size"]
    with tempfile.TemporaryDirectory() as directory:
        tokens = Path(directory) / "tokens.json"
        draw = random.Random(1)
        tokens.write_text(json.dumps([[draw.randrange(vocabulary) for _ in range(args.length)] for _ in range(args.batch)]))
        common = ["--model", args.model, "--rank", args.rank, "--precision", args.precision, "--threads", args.threads, "--device", args.device]
        shape = ["--batch", args.batch, "--length", args.length]
        roofline = [args.trainer, "bench-roofline", *common, *shape]
        common += ["--tokens", tokens]
        if args.gradient_checkpointing:
            common.append("--gradient-checkpointing")
        if on_gpu:
            small = [args.trainer, "bench-step", "--model", args.model, "--batch", 1, "--length", 256, "--rank", args.rank,
                     "--precision", args.precision, "--threads", os.cpu_count(), "--steps", 3]
            gpu.check_parity(lambda device: step(small + ["--device", device], os.cpu_count(), {}), PARITY_TOLERANCE[args.precision])
        ours = [args.trainer, "bench-step", *common, *shape] + ["--full"] * args.full
        peer = [sys.executable, ROOT / "bench/peft_step.py", *common]
        others = {"trainyard, not private": (ours, {})} if args.private else {}
        others |= {name: (peer + KNOWN[name][0], environment(KNOWN[name][1])) for name in args.peers}
        runs, ratios, rooflines = rounds((ours + ["--private"] * args.private, {}), others, None if args.full else roofline, args)
    report(runs, ratios, rooflines, args)


def rounds(ours, others, roofline, args):
    """The figures of all processes by their side, how many times as long as ours the steps of each other side took, and the rooflines."""
    runs, ratios, rooflines = {"trainyard": []} | {name: [] for name in others}, {name: [] for name in others}, []
    for number in range(args.rounds):
        say = lambda what: print(f"round {number + 1}/{args.rounds}: {what}", file=sys.stderr)
        if not others:
            say("trainyard")
            runs["trainyard"].append(alone(ours, args.threads, args.steps))
        for name, other in others.items():
            say(name)
            own, figures, of_steps = in_turns(ours, other, args.threads, args.steps)
            runs["trainyard"].append(own)
            runs[name].append(figures)
            ratios[name] += of_steps
        if roofline:
            say("roofline")
            rooflines.append(step(roofline, args.threads, {}))
    return runs, ratios, rooflines


def default_model(args):
    """The model of the benchmark, made once."""
    if args.device == "cuda":
        if not gpu.MODEL.is_dir():
            print(f"writing random weights into {gpu.MODEL.relative_to(ROOT)}", file=sys.stderr)
            gpu.write_model(gpu.MODEL, gpu.SHAPE)
        return gpu.MODEL
    return demo_model(args.trainer)


def demo_model(trainer):
    """The demo's model as a directory, made once."""
    if not MODEL.is_dir():
        if not GGUF.is_file():
            sys.exit(f"{GGUF} is missing: make demo-assets")
        subprocess.run([trainer, "import", GGUF, "--out", MODEL], check=True)
    return MODEL


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
    done = subprocess.run([str(part) for part in command], env=surroundings(threads, more), stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def report(runs, ratios, rooflines, args):
    tokens = args.batch * args.length
    rows = {}
    for name, figures in runs.items():
        seconds = [second for figure in figures for second in figure["step_seconds"]]
        rows[name] = {
            "tokens_per_second": tokens / statistics.median(seconds),
            "slowest": tokens / max(seconds),
            "fastest": tokens / min(seconds),
            "peak_bytes": max(figure["peak_device_bytes" if args.device == "cuda" else "peak_rss_bytes"] for figure in figures),
            "first_step_seconds": statistics.median(figure["first_step_seconds"] for figure in figures),
            "first_loss": figures[0]["losses"][0],
            "last_loss": figures[0]["losses"][-1],
        }
    ours = rows["trainyard"]
    private = ", private steps" if args.private else ""
    recomputing = private + (", gradient checkpointing" if args.gradient_checkpointing else "")
    trained = "all weights" if args.full else f"LoRA rank {args.rank} on all linear layers"
    print(f"\n{args.model.name}, {trained}, batch {args.batch} x {args.length}, {args.precision}{recomputing}, "
          f"{args.threads} threads, {args.rounds} x {args.steps} steps\n{machine(args)}\n")
    print(f"{'':34}{'tokens/s':>10}{'(range)':>16}{'peak MiB':>10}{'first step s':>14}{'first loss':>12}{'last loss':>11}"
          f"{'our speed':>11}{'(half)':>13}{'our memory':>12}")
    for name, row in rows.items():
        spread = f"{row['slowest']:.0f}-{row['fastest']:.0f}"
        against = "" if name == "trainyard" else f"{faster(ratios[name])}{ours['peak_bytes'] / row['peak_bytes']:11.2f}x"
        print(f"{name:34}{row['tokens_per_second']:10.0f}{spread:>16}{row['peak_bytes'] / 2**20:10.0f}"
              f"{row['first_step_seconds']:14.1f}{row['first_loss']:12.4f}{row['last_loss']:11.4f}{against}")
    if args.json:
        settings = vars(args) | {"machine": machine(args)}
        args.json.write_text(json.dumps({"settings": settings, "runs": runs, "ratios": ratios, "rooflines": rooflines, "summary": rows}, indent=1, default=str))
    if rooflines:
        report_bounds(rooflines, rows, args)
    for name, row in rows.items():
        if abs(ours["first_loss"] - row["first_loss"]) > LOSS_TOLERANCE[args.precision]:
            sys.exit(f"the first losses of trainyard and {name} differ: they did not do the same work")


def report_bounds(rooflines, rows, args):
    """What share of the bounds each side reached, and on a GPU of what it can do at best."""
    # The first is of the format that our products are computed in.
    for bounds in zip(*(of_round["bounds"] for of_round in rooflines), strict=True):
        for what, part in (("alone", lambda of_round: of_round), ("and libtorch's attention", lambda of_round: of_round["libtorch_attention"])):
            bound = statistics.median(part(of_round)["tokens_per_second"] for of_round in bounds)
            print(f"\nbound by matrix products of these shapes {what} in {bounds[0]['format']}: {bound:.0f} tokens/s; "
                  + ", ".join(f"{name} {100 * row['tokens_per_second'] / bound:.0f} %" for name, row in rows.items()))
    if args.device == "cuda":
        peak = args.peak_tflops or gpu.peak_tflops(gpu.name())
        # All products that a LoRA step needs: none for gradients of frozen weights, attention's half that causality leaves.
        tflop = rooflines[0]["bounds"][0]["tflop"]
        shares = {name: tflop * row["tokens_per_second"] / (args.batch * args.length) / peak for name, row in rows.items()} if peak else {}
        print(f"model FLOPs utilisation ({tflop:.1f} TFLOP a step, {peak} TFLOP/s at best): "
              + (", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items()) or "unknown: name the GPU's --peak-tflops"))


def faster(ratios):
    """The median of ratios and the range of their middle half, as columns."""
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    spread = f"{low:.2f}-{high:.2f}"
    return f"{statistics.median(ratios):10.2f}x{spread:>13}"


def cpuinfo():
    with open("/proc/cpuinfo") as file:
        return file.read().splitlines()


def bf16_instructions():
    """Which of them the processor has."""
    flags = next((line.split() for line in cpuinfo() if line.startswith("flags")), [])
    return [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]


def fast_precision():
    """The format that the processor multiplies fastest, as `auto` chooses it (scheduler/plan/src/processor.rs)."""
    intel = any(line.startswith("vendor_id") and "GenuineIntel" in line for line in cpuinfo())
    return "bf16" if ("amx_bf16" if intel else "avx512_bf16") in bf16_instructions() else "fp32"


def machine(args):
    """What the machine says of itself."""
    return f"{gpu.name()}; {processor()}" if args.device == "cuda" else processor()


def processor():
    """What the processor says of itself."""
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo() if line.startswith("model name")), platform.processor())
    return f"{model}, {os.cpu_count()} processors, {' '.join(bf16_instructions()) or 'no bf16 instructions'}"


if __name__ == "__main__":
    main()
