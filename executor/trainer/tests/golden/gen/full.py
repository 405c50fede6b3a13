"""Gradients of every parameter of the tiny models, and ten steps of full fine-tuning, by transformers and autograd.

Versions: torch 2.11.0, transformers 5.23.0. Seed 9. fp32, eager attention. The gradients are of 0.1 times the summed loss of one batch, prompts
masked. The steps are those of sft.py but for what is trained: AdamW (lr 1e-3, betas 0.9, 0.999, eps 1e-8, weight decay 0.01), gradient norm
clipped at 0.5, two micro-batches of unequal target counts a step. Tolerances of the tests: gradients 1e-5 relative in norm, as both round each
operation once in another order; losses 1e-4, weights 1e-3 of what they moved: AdamW divides by the root of a small second moment.

Run after models.py: .venv/bin/python executor/trainer/tests/golden/gen/full.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).parent.parent
STEPS, MICRO, ROWS, LENGTH, VOCAB = 10, 2, 2, 16, 96
MODELS = ["llama", "llama-tied", "llama-bias", "mistral", "qwen2", "qwen3"]


def load(name):
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "models" / name, dtype=torch.float32, attn_implementation="eager")
    # The padding token's row has no gradient in transformers; the batch holds none of it.
    return model.train()


def loss_sum(model, input_ids, labels):
    logits = model(input_ids=input_ids).logits[:, :-1].float()
    return F.cross_entropy(logits.reshape(-1, VOCAB), labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum")


def gradients(name):
    model = load(name)
    input_ids = torch.randint(3, VOCAB, (3, 20))
    labels = input_ids.clone()
    for row in range(3):
        labels[row, : 2 + 5 * row] = -100
    (0.1 * loss_sum(model, input_ids, labels)).backward()
    out = {f"gradient.{key}": parameter.grad.contiguous() for key, parameter in model.named_parameters()}
    save_file(out | {"input_ids": input_ids, "labels": labels}, GOLDEN / "full" / f"{name}.safetensors")


def steps():
    model = load("llama-tied")
    input_ids = torch.randint(3, VOCAB, (STEPS, MICRO, ROWS, LENGTH))
    labels = input_ids.clone()
    for step in range(STEPS):
        for micro in range(MICRO):
            for row in range(ROWS):
                labels[step, micro, row, : 2 + (3 * step + 5 * micro + 2 * row) % 11] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    losses, norms = [], []
    for step in range(STEPS):
        total = (labels[step, :, :, 1:] != -100).sum()
        of_step = 0.0
        for micro in range(MICRO):
            loss = loss_sum(model, input_ids[step, micro], labels[step, micro]) / total
            loss.backward()
            of_step += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5).item())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(of_step)
    final = {f"final.{key}": parameter.detach().contiguous() for key, parameter in model.named_parameters()}
    save_file(final | {"input_ids": input_ids, "labels": labels, "losses": torch.tensor(losses, dtype=torch.float64),
                       "grad_norms": torch.tensor(norms, dtype=torch.float64)}, GOLDEN / "full" / "run.safetensors")
    print(losses)


def main():
    torch.manual_seed(9)
    (GOLDEN / "full").mkdir(exist_ok=True)
    for name in MODELS:
        gradients(name)
    steps()


if __name__ == "__main__":
    main()
