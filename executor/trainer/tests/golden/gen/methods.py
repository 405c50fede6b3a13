"""Logits, loss and gradient of IA3, prompt tuning, prefix tuning and a trained head, by PEFT's forward pass and torch's autograd.

Versions: torch 2.11.0, transformers 5.23.0, peft 0.21.2. Seed 31. fp32, random parameters, the labels of a few tokens masked; the loss is the sum
over target tokens. Logits are those of the sequence, without those of virtual tokens. For each case: the parameters under the names that PEFT
saves them with ("lm_head.weight" for the head), their gradients under "gradient.NAME", and beside the models' tokens "logits" and "loss".
Tolerances of the test: 1e-4 absolute for logits as in models.py, 1e-5 relative for the loss, 1e-4 relative in norm for gradients.

Run after models.py: .venv/bin/python executor/trainer/tests/golden/gen/methods.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from peft import IA3Config, PrefixTuningConfig, PromptTuningConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).parent.parent
TOKENS = 5
COMMON = dict(task_type="CAUSAL_LM")
# A feedforward layer that shares its input with another, biases, layers that add onto the residual stream.
WIDE = dict(target_modules=["q_proj", "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], feedforward_modules=["gate_proj", "down_proj"])
CASES = {
    "ia3-llama": ("llama", IA3Config(**COMMON)),
    "ia3-llama-bias": ("llama-bias", IA3Config(**COMMON, **WIDE)),
    "ia3-qwen2": ("qwen2", IA3Config(**COMMON)),
    "prompt-llama": ("llama", PromptTuningConfig(**COMMON, num_virtual_tokens=TOKENS)),
    # A window of 7: virtual tokens leave it.
    "prompt-mistral": ("mistral", PromptTuningConfig(**COMMON, num_virtual_tokens=TOKENS)),
    "prefix-llama": ("llama", PrefixTuningConfig(**COMMON, num_virtual_tokens=TOKENS)),
    "prefix-mistral": ("mistral", PrefixTuningConfig(**COMMON, num_virtual_tokens=TOKENS)),
    "prefix-qwen3": ("qwen3", PrefixTuningConfig(**COMMON, num_virtual_tokens=TOKENS)),
    "head-llama": ("llama", None),
    "head-llama-tied": ("llama-tied", None),
}


def trained(name, config):
    """A model and its trained parameters by the names that they are saved with."""
    untied = {"tie_word_embeddings": False} if config is None else {}
    base = AutoModelForCausalLM.from_pretrained(GOLDEN / "models" / name, dtype=torch.float32, attn_implementation="eager", **untied)
    if config is None:
        if "tied" in name:
            base.lm_head.weight.data = base.model.embed_tokens.weight.data.clone()
        base.requires_grad_(False)
        head = base.lm_head.weight.requires_grad_(True)
        return base, {"lm_head.weight": head}
    model = get_peft_model(base, config)
    parameters = [(n.replace(".default", ""), p) for n, p in model.named_parameters() if p.requires_grad]
    if len(parameters) == 1:
        return model, {"prompt_embeddings": parameters[0][1]}
    return model, dict(parameters)


def main():
    out = GOLDEN / "methods"
    out.mkdir(exist_ok=True)
    for case, (name, config) in CASES.items():
        torch.manual_seed(31)
        model, parameters = trained(name, config)
        model.eval()
        with torch.no_grad():
            for key, parameter in parameters.items():
                noise = torch.randn_like(parameter)
                parameter.copy_(1 + 0.3 * noise if key.endswith("ia3_l") else noise if key == "prompt_embeddings" else parameter + 0.1 * noise)
        input_ids = load_file(GOLDEN / f"models/{name}/expected.safetensors")["input_ids"]
        labels = input_ids.clone()
        # Nothing predicts the first token of an example: the last virtual one would.
        labels[:, 0] = -100
        labels[0, 3:9] = -100
        logits = model(input_ids=input_ids).logits
        before = logits.shape[1] - labels.shape[1]
        whole = F.pad(labels, (before, 0), value=-100)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), whole[:, 1:].flatten(), ignore_index=-100, reduction="sum")
        loss.backward()
        if config is not None:
            saved = get_peft_model_state_dict(model)
            assert saved.keys() == parameters.keys(), (saved.keys(), parameters.keys())
        tensors = {"input_ids": input_ids, "labels": labels, "logits": logits[:, before:], "loss": loss.double().reshape(1)}
        for key, parameter in parameters.items():
            tensors[key] = parameter
            tensors[f"gradient.{key}"] = parameter.grad
        tensors = {key: tensor.detach().clone().contiguous() for key, tensor in tensors.items()}
        save_file(tensors, out / f"{case}.safetensors", metadata={"format": "pt"})
        print(case, loss.item(), {key: tuple(p.shape) for key, p in list(parameters.items())[:3]})


if __name__ == "__main__":
    main()
