"""Ten steps of supervised fine-tuning by transformers and PEFT, to be repeated by the trainer.

Versions: torch 2.11.0, transformers 5.23.0, peft 0.21.2. Seed 7. fp32, LoRA r=4, alpha=8 on all linear layers, AdamW (lr 1e-2, betas 0.9,
0.999, eps 1e-8, weight decay 0.01), gradient norm clipped at 0.5, two micro-batches of unequal target counts a step; the loss is the
sum over target tokens divided by their number in the whole step. Tolerances of the test: losses 1e-4 relative, final adapter 1e-3
in relative norm: ten steps of AdamW amplify rounding, since its update divides by the root of a small second moment.

Run after models.py: .venv/bin/python executor/trainer/tests/golden/gen/sft.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).parent.parent
STEPS, MICRO, ROWS, LENGTH, VOCAB = 10, 2, 2, 16, 96


def main():
    torch.manual_seed(7)
    base = AutoModelForCausalLM.from_pretrained(GOLDEN / "models/llama", dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    out = GOLDEN / "sft"
    out.mkdir(exist_ok=True)
    state = lambda: {k: v.detach().clone().contiguous() for k, v in get_peft_model_state_dict(model).items()}
    save_file(state(), out / "initial.safetensors", metadata={"format": "pt"})
    input_ids = torch.randint(3, VOCAB, (STEPS, MICRO, ROWS, LENGTH))
    labels = input_ids.clone()
    for step in range(STEPS):
        for micro in range(MICRO):
            for row in range(ROWS):
                # Prompts of different lengths are masked, so that micro-batches have unequal target counts.
                labels[step, micro, row, : 2 + (3 * step + 5 * micro + 2 * row) % 11] = -100
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.01)
    losses, norms = [], []
    for step in range(STEPS):
        total = (labels[step, :, :, 1:] != -100).sum()
        loss_sum = 0.0
        for micro in range(MICRO):
            logits = model(input_ids=input_ids[step, micro]).logits[:, :-1].float()
            target = labels[step, micro][:, 1:]
            loss = F.cross_entropy(logits.reshape(-1, VOCAB), target.reshape(-1), ignore_index=-100, reduction="sum") / total
            loss.backward()
            loss_sum += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 0.5).item())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss_sum)
    save_file(state(), out / "final.safetensors", metadata={"format": "pt"})
    save_file({"input_ids": input_ids, "labels": labels, "losses": torch.tensor(losses, dtype=torch.float64),
               "grad_norms": torch.tensor(norms, dtype=torch.float64)}, out / "run.safetensors")
    print(losses)


if __name__ == "__main__":
    main()
