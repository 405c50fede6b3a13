"""What is done against forgetting, by autograd: values and gradients of the regularisers, and Fisher information of single examples.

Versions: torch 2.11.0, transformers 5.23.0, peft 0.21.2. fp32 on the tiny llama with the adapters of sft.py: the final one learns, the
initial one with B drawn anew is the teacher. Tolerance of the test: 1e-5 of the largest number.

Run after sft.py: .venv/bin/python executor/trainer/tests/golden/gen/continual.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).parent.parent
VOCAB, T, ALPHA, BETA, LAMBDA = 96, 2.0, 0.7, 0.4, 3.0


def main():
    torch.manual_seed(11)
    base = AutoModelForCausalLM.from_pretrained(GOLDEN / "models/llama", dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    student = load_file(GOLDEN / "sft/final.safetensors")
    teacher = {name: torch.randn_like(value) * 0.05 if ".lora_B." in name else value.clone()
               for name, value in load_file(GOLDEN / "sft/initial.safetensors").items()}
    ids = torch.randint(3, VOCAB, (3, 14))
    labels = ids.clone()
    for row, prompt in enumerate([3, 6, 9]):
        labels[row, :prompt] = -100
    mask = labels[:, 1:] != -100
    count = mask.sum()
    out = {"input_ids": ids, "labels": labels, "figures.lambda": torch.tensor(LAMBDA)}
    out |= {f"teacher.{name}": value for name, value in teacher.items()}

    def logits():
        return model(input_ids=ids).logits[:, :-1].float()[mask]

    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return {name.replace(".default", ""): parameter.grad.clone()
                for name, parameter in model.named_parameters() if parameter.requires_grad}

    def keep(what, loss):
        out[f"{what}.value"] = loss.detach().double()
        out.update({f"{what}.{name}": value for name, value in gradient(loss).items()})

    set_peft_model_state_dict(model, teacher)
    with torch.no_grad():
        old = logits()
    set_peft_model_state_dict(model, student)
    target = labels[:, 1:][mask]

    # Learning without forgetting: cross entropy and divergence, both a mean over target tokens.
    new = logits()
    divergence = F.kl_div(F.log_softmax(new / T, -1), F.softmax(old / T, -1), reduction="batchmean")
    out["lwf.divergence"] = divergence.detach().double()
    keep("lwf", F.cross_entropy(new, target) + ALPHA * divergence)

    # DER++ on remembered examples whose five highest logits were kept.
    kept, places = old.topk(5, -1)
    new = logits()
    out["derpp.ids"], out["derpp.logits"] = places, kept.contiguous()
    keep("derpp", ALPHA * F.mse_loss(new.gather(1, places), kept) + BETA * F.cross_entropy(new, target))

    # Fisher information: the mean of squared gradients of each example's log-likelihood.
    fisher = None
    for row in range(3):
        own = labels[row, 1:] != -100
        scores = model(input_ids=ids[row:row + 1]).logits[0, :-1].float()[own]
        squares = {name: value ** 2 for name, value in
                   gradient(-F.cross_entropy(scores, labels[row, 1:][own], reduction="sum")).items()}
        fisher = squares if fisher is None else {name: fisher[name] + value for name, value in squares.items()}
    fisher = {name: value / 3 for name, value in fisher.items()}
    out |= {f"fisher.{name}": value for name, value in fisher.items()}

    # EWC around the teacher's parameters.
    parameters = {name.replace(".default", ""): parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    keep("ewc", LAMBDA / 2 * sum((fisher[name] * (parameter - teacher[name]) ** 2).sum() for name, parameter in parameters.items()))

    # O-LoRA: the first two ranks are of earlier stages.
    products = sum((parameter[:2].detach() @ parameter[2:].T).abs().sum() for name, parameter in parameters.items() if ".lora_A." in name)
    norms = sum((parameter[2:] if ".lora_A." in name else parameter[:, 2:]).norm() for name, parameter in parameters.items())
    keep("o_lora", 0.5 * products + 0.1 * norms)

    # A-GEM: a gradient that points against the reference, and one that does not.
    g, reference = torch.randn(50), torch.randn(50)
    if g @ reference > 0:
        g = -g
    out["a_gem.gradient"], out["a_gem.reference"] = g, reference
    out["a_gem.turned"] = g - (g @ reference) / (reference @ reference) * reference

    (GOLDEN / "continual").mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in out.items()}, GOLDEN / "continual/formulas.safetensors")
    print({name: value.item() for name, value in out.items() if name.endswith(".value")})


if __name__ == "__main__":
    main()
