"""GGUF blocks and a whole small GGUF model, made by the gguf package.

Versions: gguf 0.19.0, torch 2.11.0, transformers 5.23.0. Seed 11. Blocks: random values quantised where the package can (Q4_0, Q4_1, Q8_0), random
bytes with sane scales where it cannot (Q4_K, Q6_K); expected values are the package's own dequantisation. Tolerance 1e-6 relative: the
formulas multiply the same fp32 numbers in another order.

The model is `models/llama` with a byte-level tokenizer, its query and key rows permuted as llama.cpp stores them; importing it must give the original
back. F32 tensors, so equality is exact.

Run after models.py and chat.py: .venv/bin/python executor/trainer/tests/golden/gen/gguf_files.py
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import load_file, save_file

GOLDEN = Path(__file__).parent.parent
OUT = GOLDEN / "gguf"


def blocks():
    rng = np.random.default_rng(11)
    out = {}
    for kind in (Q.Q4_0, Q.Q4_1, Q.Q8_0):
        packed = gguf.quants.quantize(rng.normal(size=(4, 64)).astype(np.float32), kind)
        out[kind.name] = packed
    for kind, size, halves in ((Q.Q4_K, 144, (0, 2)), (Q.Q6_K, 210, (208,))):
        packed = rng.integers(0, 256, size=(3, size), dtype=np.uint8)
        for at in halves:
            scales = rng.uniform(0.001, 0.1, size=3).astype(np.float16)
            packed[:, at:at + 2] = scales.view(np.uint8).reshape(3, 2)
        out[kind.name] = packed
    tensors = {}
    for name, packed in out.items():
        tensors[f"{name}.bytes"] = packed
        tensors[f"{name}.values"] = gguf.quants.dequantize(packed, Q[name]).astype(np.float32).reshape(-1)
    save_file(tensors, OUT / "blocks.safetensors")


def permute(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def model():
    config = json.loads((GOLDEN / "models/llama/config.json").read_text())
    weights = load_file(GOLDEN / "models/llama/model.safetensors")
    tokenizer = json.loads((GOLDEN / "chat/tokenizer.json").read_text())
    # The model has 96 rows: a vocabulary of as many tokens, special ones first, then bytes.
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)[:95] + ["ab"]
    writer = gguf.GGUFWriter(OUT / "tiny.gguf", "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["a b"])
    writer.add_token_types([3 if token.startswith("<") and len(token) > 1 else 1 for token in vocabulary])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    for name, weight in weights.items():
        target = whole.get(name)
        if target is None:
            _, _, layer, rest = name.split(".", 3)
            module = rest.removesuffix(".weight")
            target = f"blk.{layer}.{names[module]}.weight"
            if module == "self_attn.q_proj":
                weight = permute(weight, config["num_attention_heads"])
            elif module == "self_attn.k_proj":
                weight = permute(weight, config["num_key_value_heads"])
        writer.add_tensor(target, np.ascontiguousarray(weight, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    blocks()
    model()
    print({path.name: path.stat().st_size for path in OUT.iterdir()})
