"""What the benchmark needs on a GPU: whether there is one, what it could do at best, and a model of usual size with random weights."""

import json
import math
import shutil
import subprocess
from pathlib import Path

MODEL = Path(__file__).resolve().parent.parent / ".cache/models/random-llama-1b"
# The shape of Llama 3.2 1B.
SHAPE = dict(vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
             head_dim=64, max_position_embeddings=8192, rope_theta=500_000.0, rms_norm_eps=1e-5, tie_word_embeddings=True)
# Dense bf16 products with sums in fp32, in TFLOP/s, by a part of the device's name, as its maker says.
PEAKS = {"B200": 2250, "H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "A10G": 70, "A10": 125, "L40S": 362, "L40": 181, "L4": 121,
         "RTX 5090": 210, "RTX 4090": 165, "RTX 3090": 71}


def name():
    """The first GPU's name; None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    found = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return found.stdout.splitlines()[0].strip() if found.returncode == 0 and found.stdout.strip() else None


def peak_tflops(gpu):
    """What the device does at best; None where this file does not know it."""
    return next((peak for part, peak in PEAKS.items() if part in gpu), None)


def write_model(directory, shape):
    """A Llama of `shape` with random weights in bf16, as transformers would save it. Needs NumPy alone."""
    import numpy

    width, wide, head = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    queries, keys = shape["num_attention_heads"] * head, shape["num_key_value_heads"] * head
    tensors = {"model.embed_tokens.weight": (shape["vocab_size"], width), "model.norm.weight": (width,)}
    for layer in range(shape["num_hidden_layers"]):
        of_layer = {"input_layernorm": (width,), "post_attention_layernorm": (width,), "self_attn.q_proj": (queries, width),
                    "self_attn.k_proj": (keys, width), "self_attn.v_proj": (keys, width), "self_attn.o_proj": (width, queries),
                    "mlp.gate_proj": (wide, width), "mlp.up_proj": (wide, width), "mlp.down_proj": (width, wide)}
        tensors |= {f"model.layers.{layer}.{part}.weight": size for part, size in of_layer.items()}
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "torch_dtype": "bfloat16", "bos_token_id": 1,
              "eos_token_id": 2, "attention_bias": False, "mlp_bias": False, "initializer_range": 0.02, **shape}
    (partial / "config.json").write_text(json.dumps(config, indent=1))
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for tensor, size in tensors.items():
        begin, end = end, end + 2 * math.prod(size)
        header[tensor] = {"dtype": "BF16", "shape": size, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    draw = numpy.random.default_rng(0)
    with open(partial / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for size in tensors.values():
            # Norms are ones; bf16 is the upper half of an fp32.
            values = draw.standard_normal(size, numpy.float32) * numpy.float32(0.02) if len(size) == 2 else numpy.ones(size, numpy.float32)
            file.write((values.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes())
    partial.rename(directory)


def check_parity(run, tolerance):
    """The losses of a few small steps on the GPU beside those on the processor; `run` gives the figures of a device."""
    losses = {device: run(device)["losses"] for device in ("cuda", "cpu")}
    worst = max(abs(a / b - 1) for a, b in zip(losses["cuda"], losses["cpu"], strict=True))
    print(f"losses on the GPU {json.dumps(losses['cuda'])}\nand the processor {json.dumps(losses['cpu'])}: {worst:.1e} apart at most")
    if not worst < tolerance:
        raise SystemExit(f"the losses on GPU and processor differ by {worst:.1e} of themselves; the limit is {tolerance}")
