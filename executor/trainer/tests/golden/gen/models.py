"""Tiny random models of every supported family, with the logits that transformers gives them.

Versions: torch 2.11.0, transformers 5.23.0. Seed 20 + index. Tolerance of the tests: 1e-4 absolute in fp32. The same operations in
another order differ by about 1e-6 at these sizes; 1e-4 leaves room for other processors and still shows any wrong formula (a wrong
rotation, norm or window moves logits by more than 1e-2).

Run: .venv/bin/python executor/trainer/tests/golden/gen/models.py
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
    Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)

OUT = Path(__file__).parent.parent / "models"
COMMON = dict(
    vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**COMMON, tie_word_embeddings=False)),
    "llama-tied": (LlamaForCausalLM, LlamaConfig(**COMMON, tie_word_embeddings=True, rms_norm_eps=1e-5)),
    "llama-bias": (LlamaForCausalLM, LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True, head_dim=16)),
    "llama-rope3": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16))),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=rope("linear", factor=4.0))),
    "llama-dynamic": (LlamaForCausalLM, LlamaConfig(**{**COMMON, "max_position_embeddings": 16},
                                                    rope_parameters=rope("dynamic", factor=2.0))),
    "llama-yarn": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=32))),
    "mistral": (MistralForCausalLM, MistralConfig(**COMMON, sliding_window=7)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**COMMON, tie_word_embeddings=True)),
    "qwen2-window": (Qwen2ForCausalLM, Qwen2Config(**COMMON, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**COMMON, head_dim=16)),
    # Stored in bf16 and in shards; the configuration in the dialect of transformers 4.
    "llama-v4-bf16-sharded": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=rope("linear", factor=2.0))),
}


def v4_dialect(config):
    """The keys that transformers 4 wrote for the same model."""
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **parameters}
    config["torch_dtype"] = config.pop("dtype", "float32")
    config.pop("layer_types", None)
    return config


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for index, (name, (cls, config)) in enumerate(MODELS.items()):
        torch.manual_seed(20 + index)
        config._attn_implementation = "eager"
        model = cls(config).float().eval()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                # Norm weights and biases start at 1 and 0: random ones show a forgotten one.
                if "norm" in key:
                    parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
                else:
                    parameter.copy_(0.25 * torch.randn_like(parameter) if parameter.dim() == 1
                                    else parameter * 5)
        if "bf16" in name:
            # Parameters alone: `model.bfloat16()` would round the rotary frequencies too, which no loaded model has.
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(parameter.bfloat16().float())
        ids = torch.randint(0, COMMON["vocab_size"], (2, 24))
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        folder = OUT / name
        if "sharded" in name:
            model.bfloat16().save_pretrained(folder, max_shard_size="12KB")
        else:
            model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        if "v4" in name:
            path = folder / "config.json"
            path.write_text(json.dumps(v4_dialect(json.loads(path.read_text())), indent=2))
        save_file({"input_ids": ids, "logits": logits.float().contiguous()}, folder / "expected.safetensors")
        print(name, sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KiB")


if __name__ == "__main__":
    main()
