"""The tiny model of the end-to-end tests: a random Llama with a byte-level BPE tokenizer and a chat template.

Versions: torch 2.11.0, transformers 5.23.0, tokenizers 0.23.3. Seed 11. Random weights are enough: the tests ask whether losses
agree and bits repeat, not whether the model is any good. The embedding is scaled up so that the loss has somewhere to fall to.

Run: .venv/bin/python tests/python/gen_tiny_model.py
"""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).parent.parent / "fixtures" / "tiny"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = [
    "system user assistant You answer with one word. What is the sum of one and two? The sum is three.",
    "Which colour has the sky? Blue. Which colour has grass? Green. What comes after Monday? Tuesday.",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
]


def tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    return tokenizer


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    words.save(str(OUT / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 256, "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE,
    }
    (OUT / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    torch.manual_seed(11)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=words.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=words.token_to_id("<|im_end|>"), pad_token_id=words.token_to_id("<|endoftext|>"), initializer_range=0.08,
    ))
    model.save_pretrained(OUT)
    (OUT / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
