"""The seeds of the fuzz corpora, from the golden values of the tests: small files that the parsers take, one for each way through them.

Versions: gguf 0.19.0, safetensors 0.8.0. Run: .venv/bin/python fuzz/gen_seeds.py
"""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import load_file
from safetensors.torch import save_file

FUZZ = Path(__file__).parent
GOLDEN = FUZZ.parent / "executor/trainer/tests/golden"
CASES = json.loads((GOLDEN / "chat/cases.json").read_text())

LINES = {
    "text": '{"text":"Ünïcode \\ud83d\\ude00 and \\u0000"}\n',
    "completion": '{"prompt":"2+2=","completion":" 4"}\n{"prompt":"","completion":"x"}\n',
    "tokens": '{"input_ids":[1,2,3,4294967295],"labels":[-100,-100,3,0]}\n{"input_ids":[1,2],"labels":null}',
    "parts": '{"messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},'
             '{"role":"assistant","content":"c","weight":1}]}\n',
    "calls": '{"messages":[{"role":"user","content":"a","name":"n"},{"role":"assistant","content":null,"tool_calls":[{"id":"1",'
             '"type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"},'
             '{"role":"assistant","content":"x","refusal":null}],"tools":[{"type":"function","function":{"name":"f"}}],'
             '"parallel_tool_calls":false}\n',
    "function": '{"messages":[{"role":"assistant","content":"","function_call":{"name":"f","arguments":"1"}},'
                '{"role":"function","name":"f","content":"r"},{"role":"assistant","content":"x","weight":0}]}\n',
    "preference": '{"input":{"messages":[{"role":"user","content":"a"}]},"preferred_output":[{"role":"assistant","content":"b"}],'
                  '"non_preferred_output":[{"role":"assistant","content":"c"}]}\n{"prompt":"a","chosen":"b","rejected":"c"}\n',
    "label": '{"text":"a","label":1}\n{"text":"a","label":"x"}\n',
    "mixed": '\ufeff{"text":"a"}\r\n\r\n{"prompt":"a","completion":"b"}\n[1]\nnot JSON\n{"text":"a","text":"b"}\n{"text":1e400}\n',
}


def jsonl():
    for name, text in LINES.items():
        yield name, text.encode()
    yield "chat", "".join(json.dumps({"messages": case["messages"]}) + "\n" for case in CASES[:2]).encode()
    yield "tools", json.dumps({"messages": CASES[-1]["messages"], "tools": CASES[-1]["tools"]}).encode()


def chat_template():
    for index, case in enumerate(CASES):
        line = json.dumps({"messages": case["messages"], "tools": case["tools"]})
        yield f"{case['style']}-{index}", f"{case['template']}\0{line}".encode()
    yield "filters", (b"{% set ns = namespace(x='a') %}{% for i in range(3) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x | upper | trim }}"
                      b"{{ messages | tojson(indent=2) }}{{ messages[0]['content'].split(' ')[-1].replace('a', 'b').strip() }}"
                      b"{% macro m(a, b=1) %}{{ a * b }}{% endmacro %}{{ m(2) }}{{ 'x' * 3 }}{{ messages[::-1] | length }}"
                      b"{% if tools is defined and tools is not none %}{{ raise_exception('no') }}{% endif %}")


def safetensors():
    out = FUZZ / "one.safetensors"
    kinds = (torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool,
             torch.float8_e4m3fn)
    for kind in kinds:
        save_file({"a": torch.arange(6).reshape(2, 3).to(kind), "b.c": torch.zeros(1).to(kind)}, out, {"format": "pt"})
        yield str(kind).removeprefix("torch."), out.read_bytes()
    save_file({"empty": torch.zeros(0, 4), "scalar": torch.tensor(1.0)}, out)
    yield "shapes", out.read_bytes()
    out.unlink()
    shard = "model-00001-of-00001.safetensors"
    yield "index", json.dumps({"metadata": {"total_size": 2}, "weight_map": {"a": shard}}).encode()
    yield "index-missing", json.dumps({"weight_map": {"a": shard, "b": "model-00002-of-00002.safetensors"}}).encode()
    yield "index-outside", json.dumps({"weight_map": {"a": "../model.safetensors"}}).encode()



def gguf_file(arch, kind, pre, rope=None):
    """A model of one layer and eight columns: every key and tensor that a real one has, in two or three KiB."""
    out = FUZZ / "one.gguf"
    rng = np.random.default_rng(11)
    width = 32 if kind else 8
    vocabulary = ["<pad>", "<s>", "</s>", "a", "b", "ab"]
    writer = gguf.GGUFWriter(out, arch)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if rope:
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope))
        writer.add_rope_scaling_factor(2.0)
        writer.add_rope_scaling_orig_ctx_len(32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["a b"])
    writer.add_token_types([3, 3, 3, 1, 1, 1])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    half = width // 2
    shapes = {"token_embd": (6, width), "output_norm": (width,), "blk.0.attn_norm": (width,), "blk.0.attn_q": (width, width),
              "blk.0.attn_k": (half, width), "blk.0.attn_v": (half, width), "blk.0.attn_output": (width, width), "blk.0.ffn_norm": (width,),
              "blk.0.ffn_gate": (width, width), "blk.0.ffn_up": (width, width), "blk.0.ffn_down": (width, width)}
    for name, shape in shapes.items():
        values = rng.normal(size=shape).astype(np.float32)
        if kind and len(shape) == 2:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    content = out.read_bytes()
    out.unlink()
    return content


def gguf_files():
    for arch, kind, pre, rope in (("llama", None, "smollm", None), ("llama", None, "llama-bpe", "linear"), ("qwen2", None, "qwen2", "yarn"),
                                  ("qwen3", Q.Q4_0, "gpt-2", None), ("llama", Q.Q4_1, "smollm", None), ("llama", Q.Q8_0, "smollm", None),
                                  ("llama", Q.BF16, "smollm", None), ("llama", Q.F16, "smollm", None)):
        yield f"{arch}-{kind.name if kind else 'F32'}-{pre}", gguf_file(arch, kind, pre, rope)
    # The K-quants' blocks have 256 elements: one tensor of one block each, which is a container and no whole model.
    blocks = load_file(GOLDEN / "gguf/blocks.safetensors")
    for kind in (Q.Q4_K, Q.Q6_K):
        out = FUZZ / "one.gguf"
        writer = gguf.GGUFWriter(out, "llama")
        writer.add_head_count(1)
        writer.add_tensor("token_embd.weight", blocks[f"{kind.name}.bytes"][:1], raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        yield f"block-{kind.name}", out.read_bytes()
        out.unlink()


if __name__ == "__main__":
    for target, seeds in {"jsonl": jsonl, "safetensors": safetensors, "gguf": gguf_files, "chat_template": chat_template}.items():
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds():
            (folder / f"seed-{name}").write_bytes(content)
        print(target, sum(1 for _ in folder.iterdir()), sum(path.stat().st_size for path in folder.iterdir()))
