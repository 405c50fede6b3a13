"""Times training steps of transformers, with PEFT or of all weights, on given weights and tokens: the peer's side of run.py.

The fastest configuration of the peer: bf16 base, fp32 adapter, bf16 autocast (or all fp32), SDPA, fused AdamW. All weights are fp32 with bf16
autocast, which is what Trainyard computes, or bf16 altogether.
Prints one JSON object with the keys that `trainyard-trainer bench-step` prints.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a model directory")
    parser.add_argument("--tokens", required=True, help="token ids as JSON, a list of rows")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model; its time is in the first step's")
    parser.add_argument("--private", action="store_true", help="private steps by Opacus: its hooks, each row a unit")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--full", action="store_true", help="train all weights instead of a LoRA")
    parser.add_argument("--narrow", action="store_true", help="with --full: bf16 weights, gradients and moments")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="steps to time, after one that is not")
    parser.add_argument("--turns", action="store_true", help="a step for each line of standard input instead, its seconds on standard output")
    args = parser.parse_args()

    begun = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    bf16 = args.precision == "bf16"
    narrow = bf16 and (args.narrow or not args.full)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16 if narrow else torch.float32)
    if not args.full:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=args.rank, lora_alpha=2 * args.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, config)
    model.to(args.device)
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    model.train()
    if args.compile:
        model.compile()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-5 if args.full else 1e-4, weight_decay=0.0, fused=True)
    with open(args.tokens) as file:
        input_ids = torch.tensor(json.load(file)).to(args.device)
    if args.private:
        # Of its ways to a unit's gradient the fastest that works here: ghost norms refuse tied embeddings.
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        model = GradSampleModule(model, loss_reduction="mean")
        optimizer = DPOptimizer(optimizer, noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=len(input_ids))
    # Where all is bf16 there is nothing to cast.
    cast = bf16 and not args.narrow
    precision = lambda: torch.autocast(args.device, torch.bfloat16) if cast else contextlib.nullcontext()

    seconds, losses = [], []
    while not losses or (sys.stdin.readline() if args.turns else len(seconds) < args.steps):
        start = time.perf_counter()
        with precision():
            loss = model(input_ids=input_ids, labels=input_ids).loss
        loss.backward()
        if not args.private:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())  # Waits for all that the device was given.
        took = time.perf_counter() - start
        if len(losses) == 1:
            first_step_seconds = time.perf_counter() - begun
        else:
            seconds.append(took)
        if args.turns:
            print(took, flush=True)
    print(json.dumps({
        "tokens_per_second": input_ids.numel() / statistics.median(seconds),
        "step_seconds": seconds,
        "first_step_seconds": first_step_seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "peak_device_bytes": torch.cuda.max_memory_allocated() if args.device == "cuda" else None,
        "losses": losses,
    }))


def peak_rss_bytes():
    """The largest resident set that the kernel saw of this process."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
