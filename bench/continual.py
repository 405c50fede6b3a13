"""What each strategy against forgetting gives and costs: SmolLM2-135M-Instruct through four domains (bench/continual_data.py), one after the
other, with each of them in turn.

Two parts. What is learned: for each seed one run of each strategy; ACC, BWT and forgetting are those of the loss in nats, turned so that
higher is better (forgetting: lower), and the share of joint's gain is how much of what training on all domains at once lowers the mean loss
by is reached. What it costs: short runs of each strategy that take turns, so that what else the machine does falls on all; the shortest time of a
step after the first stage, of all rounds, beside naive's, and the peak of the memory. The shortest, as all that disturbs a step makes it longer.

Run by `make bench-continual`; needs the GGUF file of `make demo-assets`. Results go to .cache/bench-continual.json too, from which a part that
is not run again (--part) is taken; a run that stands there with the same settings is not repeated.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import continual_data
from run import MODEL, demo_model, fast_precision

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / ".cache/bench-continual.json"
# What a run that need not be repeated must have in common.
SETTINGS = ["rows", "valid_rows", "length", "batch", "epochs", "rate", "precision"]
# The runs that measure the cost: steps of each of their two stages, of which the second counts, and the shape of a step, large enough that what is
# done once a step is seen as in a real one.
COST_STEPS, COST_BATCH, COST_LENGTH = 5, 4, 128
STRATEGIES = {
    "naive": [],
    "replay 0.1": [{"type": "replay", "ratio": 0.1}],
    "replay 0.3": [{"type": "replay", "ratio": 0.3}],
    "replay 0.5": [{"type": "replay", "ratio": 0.5}],
    "DER++": [{"type": "derpp", "ratio": 0.25, "alpha": 0.05, "beta": 1.0, "capacity": 200}],
    "EWC": [{"type": "ewc", "lambda": 100.0, "samples": 32}],
    "LwF": [{"type": "lwf", "alpha": 1.0, "temperature": 2.0}],
    "A-GEM": [{"type": "a_gem"}],
    "O-LoRA": [{"type": "o_lora"}],
    "EMA": [{"type": "ema", "decay": 0.95}],
    "merge": [{"type": "merge"}],
    "replay 0.3 + LwF": [{"type": "replay", "ratio": 0.3}, {"type": "lwf", "alpha": 0.5}],
    "joint": [{"type": "joint"}],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", default=ROOT / "target/release/trainyard-trainer", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", choices=list(STRATEGIES), help="naive and joint are always there")
    parser.add_argument("--part", choices=["learned", "cost", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the short runs")
    parser.add_argument("--anew", action="store_true", help="repeat what stands in the results")
    parser.add_argument("--rows", type=int, default=64, help="training rows of a domain")
    parser.add_argument("--valid-rows", type=int, default=16, help="validation rows of a domain")
    parser.add_argument("--length", type=int, default=64, help="tokens of a row at most")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1, help="more make a memorised row look like a forgotten domain")
    parser.add_argument("--rate", type=float, default=5e-4, help="at twice as much all strategies forget more")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default=fast_precision())
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    demo_model(args.trainer)
    chosen = [name for name in STRATEGIES if not args.only or name in args.only or name in ("naive", "joint")]
    settings = {key: getattr(args, key) for key in SETTINGS}
    results = json.loads(OUT.read_text()) if OUT.is_file() and not args.anew else {}
    if results.get("settings") != settings:
        results = {"settings": settings, "learned": [], "cost": []}
    if args.part in ("learned", "both"):
        data = continual_data.prepare(args.rows, args.valid_rows, args.length)
        rounds(args, continual_data.DOMAINS, data, chosen, args.seeds, "learned", results)
    if args.part in ("cost", "both"):
        results["cost"] = []
        short = argparse.Namespace(**vars(args) | {"epochs": 1, "threads": os.cpu_count(), "batch": COST_BATCH, "length": COST_LENGTH})
        data = continual_data.prepare(COST_STEPS * COST_BATCH, 1, COST_LENGTH)
        rounds(short, continual_data.DOMAINS[:2], data, chosen, range(args.rounds), "cost", results)
    print(table([name for name in chosen if any(run["strategy"] == name for run in results["learned"])], **results))


def rounds(args, domains, data, chosen, seeds, part, results):
    for seed in seeds:
        for name in chosen:
            if any((run["strategy"], run["seed"]) == (name, seed) for run in results[part]):
                continue
            run = {"strategy": name, "seed": seed} | train(args, domains, data, STRATEGIES[name], seed)
            results[part].append(run)
            print(f"{part} {seed}  {name}: {run['seconds']:.0f} s, ACC {run['acc']:.4f}", file=sys.stderr, flush=True)
            OUT.write_text(json.dumps(results, indent=1))


def plan(args, strategies, seed, stages):
    return {
        "seed": seed, "epochs": args.epochs, "batch_size": args.batch, "learning_rate_multiplier": 1.0,
        "adapter": {"type": "lora", "rank": 8, "alpha": 16.0, "dropout": 0.0, "target_modules": "all-linear", "rslora": False},
        "optimizer": {"learning_rate": args.rate, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
        "schedule": {"kind": "cosine", "warmup_ratio": 0.1, "min_ratio": 0.0},
        "precision": args.precision,
        "sequence": {"max_length": args.length, "packing": False, "overlong": "truncate"},
        "batching": {"micro_batch_size": args.batch, "gradient_checkpointing": False},
        "checkpoint": {"every_steps": 1_000_000, "every_seconds": None, "keep": 1},
        "evaluation": {"every_steps": None, "metrics": ["loss", "token_accuracy", "perplexity"]},
        "early_stopping": None,
        "continual": {"stages": stages, "strategies": strategies, "held_out_file": None, "max_forgetting": None,
                      "max_held_out_fall": None, "order": "as_given"},
        "resources": {"pool": "default", "devices": 1, "priority": "normal", "preemptible": True, "max_runtime_seconds": 86400},
    }


def train(args, domains, data, strategies, seed):
    def file(domain, part):
        return {"path": str(data / f"{domain}.{part}.jsonl"), "name": f"{domain}.{part}.jsonl"}

    stages = [{"name": domain, "training_file": f"{domain}.train.jsonl", "validation_file": f"{domain}.valid.jsonl"}
              for domain in domains]
    files = [{"training": file(domain, "train"), "validation": file(domain, "valid")} for domain in domains]
    first = files[0]["training"]
    spec = {
        "plan": plan(args, strategies, seed, stages), "model": str(MODEL), "model_name": "SmolLM2-135M-Instruct",
        "training_file": first["path"], "training_file_name": first["name"], "validation_file": None, "validation_file_name": None,
        "continual": {"stages": files, "held_out": None, "parent": None, "earlier": {}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_text(json.dumps(spec))
        command = [args.trainer, "run", "--plan", path, "--out", Path(folder) / "out", "--threads", str(args.threads), "--quiet"]
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        steps, finished, second_stage, last = [], None, False, None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "stage_began":
                second_stage = event["stage"] > 1
            elif event["event"] == "step":
                # The time that training itself took: what is measured between stages is not in it.
                if last is not None and (second_stage or strategies == [{"type": "joint"}]):
                    steps.append(event["training_seconds"] - last)
                last = event["training_seconds"]
            elif event["event"] == "finished":
                finished = event
            elif event["event"] == "failed":
                sys.exit(f"{strategies}: {event['message']}")
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
    # The last step of a stage has what rows are left.
    steps.pop()
    loss = next(matrix for matrix in finished["continual"]["matrices"] if matrix["metric"] == "loss")
    return {
        "acc": -statistics.mean(loss["rows"][-1]["stages"]), "bwt": loss["backward_transfer"], "forgetting": loss["forgetting"],
        "base": -statistics.mean(loss["base"]["stages"]), "seconds": seconds, "step": min(steps),
        "mib": usage.ru_maxrss / 1024, "steps": finished["steps"],
        "base_row": loss["base"]["stages"], "rows": [row["stages"] for row in loss["rows"]],
    }


def table(chosen, learned, cost, settings):
    def of(runs, name, figure):
        return [figure(run) for run in runs if run["strategy"] == name]

    def shown(values, digits):
        values = [value for value in values if value is not None]
        if not values:
            return "-"
        spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.{digits}f}{spread}"

    joint = {run["seed"]: run for run in learned if run["strategy"] == "joint"}
    naive = min(of(cost, "naive", lambda run: run["step"]), default=None)
    lines = ["| strategy | ACC | BWT | forgetting | of joint's gain | steps | time of one | beside naive | memory |",
             "|---|---|---|---|---|---:|---:|---|---:|"]
    for name in chosen:
        gain = of(learned, name, lambda run: 100 * (run["acc"] - run["base"]) / (joint[run["seed"]]["acc"] - run["base"]))
        cells = [shown(of(learned, name, lambda run: run[figure]), 3) for figure in ("acc", "bwt", "forgetting")]
        cells += [shown(gain, 0) + " %", str(of(learned, name, lambda run: run["steps"])[0])]
        shortest = min(of(cost, name, lambda run: run["step"]), default=None)
        if shortest is not None:
            memory = statistics.median(of(cost, name, lambda run: run["mib"]))
            cells += [f"{shortest:.2f} s", f"x {shortest / naive:.2f}", f"{memory:.0f} MiB"]
        else:
            cells += ["-", "-", "-"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    shape = ", ".join(f"{name} {settings[name]}" for name in ("rows", "length", "batch", "epochs", "rate", "precision"))
    base = -statistics.mean(run["base"] for run in joint.values())
    lines.append(f"\nMean ± standard deviation of {len(joint)} seeds; the base model's mean loss is {base:.3f}. {shape}. Time and memory are of steps of "
                 f"{COST_BATCH} x {COST_LENGTH} tokens in the second of two stages.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
