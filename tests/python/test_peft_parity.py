"""`peft` loads the exported adapter, transformers a whole model, and they measure on the same lines the validation loss that the server reported.

The measurement is independent of Trainyard: transformers renders and tokenizes, this script masks what is not the assistant's.
Tolerances: 1e-3 in fp32, where the two differ by the order of additions; 2e-2 in bf16, where each rounds 8 bits differently.
"""

import json
import urllib.request

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import chat, ended, wait

IGNORED = -100


def rows(tokenizer, lines):
    """(ids, labels) of each chat line: the assistant's content and its end-of-turn token are targets."""
    for line in lines.decode().splitlines():
        messages = json.loads(line)["messages"]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        spans, cursor = [], 0
        for message in messages:
            opening = f"<|im_start|>{message['role']}\n"
            start = text.index(opening, cursor) + len(opening)
            cursor = start + len(message["content"]) + len("<|im_end|>")
            if message["role"] == "assistant":
                spans.append((start, cursor))
        labels = [token if any(a <= begin and end <= b for a, b in spans) else IGNORED
                  for token, (begin, end) in zip(encoded.input_ids, encoded.offset_mapping)]
        yield torch.tensor([encoded.input_ids]), torch.tensor([labels])


@torch.no_grad()
def loss(model, tokenizer, lines):
    """Mean negative log-likelihood of a target token, over all lines together."""
    total, count = 0.0, 0
    for ids, labels in rows(tokenizer, lines):
        # Virtual tokens have logits too.
        logits = model(input_ids=ids).logits[:, -ids.shape[1]:-1].float()
        targets = labels[:, 1:]
        total += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum").item()
        count += (targets != IGNORED).sum().item()
    return total / count


FORMATS = pytest.mark.parametrize("precision, dtype, tolerance", [("fp32", torch.float32, 1e-3), ("bf16", torch.bfloat16, 2e-2)])


def trained(client, directory, valid, precision, adapter, rate):
    """The name and the result of a job whose files lie in `directory` then."""
    training_file = client.files.create(file=("train.jsonl", chat(60)), purpose="fine-tune")
    validation_file = client.files.create(file=("valid.jsonl", valid), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=training_file.id, validation_file=validation_file.id, seed=3,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4}}},
        extra_body={"trainyard": {
            "precision": precision, "adapter": adapter, "optimizer": {"learning_rate": rate},
            "sequence": {"max_length": 128, "packing": False}}},
    )
    job = wait(client, job, ended)
    assert job.status == "succeeded", job.error
    artifacts = f"{str(client.base_url).rstrip('/')}/models/{job.fine_tuned_model}/artifacts"

    def get(url):
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {client.api_key}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    for artifact in json.loads(get(artifacts))["data"]:
        content = get(f"{artifacts}/{artifact['name']}")
        assert len(content) == artifact["bytes"]
        (directory / artifact["name"]).write_bytes(content)
    return job, job.model_extra["trainyard"]


@FORMATS
def test_peft_measures_the_reported_loss(client, base_model_dir, tmp_path, precision, dtype, tolerance):
    torch.set_num_threads(1)
    valid = chat(12, start=100)
    _, extension = trained(client, tmp_path, valid, precision, {"rank": 8, "alpha": 16.0}, 0.01)
    reported = extension["result"]
    tokenizer = AutoTokenizer.from_pretrained(base_model_dir)
    plain = AutoModelForCausalLM.from_pretrained(base_model_dir, dtype=dtype).eval()
    before = loss(plain, tokenizer, valid)
    adapted = PeftModel.from_pretrained(plain, tmp_path).eval()
    after = loss(adapted, tokenizer, valid)
    assert before == pytest.approx(reported["initial_valid_loss"], abs=tolerance)
    assert after == pytest.approx(reported["valid_loss"], abs=tolerance)
    assert after < before - 10 * tolerance, "too little was learned for the comparison to mean anything"


@FORMATS
def test_transformers_loads_a_full_model_and_measures_the_reported_loss(client, base_model_dir, tmp_path, precision, dtype, tolerance):
    torch.set_num_threads(1)
    valid = chat(12, start=100)
    job, extension = trained(client, tmp_path, valid, precision, {"type": "full"}, 0.002)
    assert extension["adapter"] == {"type": "full"}
    reported = extension["result"]
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto", output_loading_info=True)
    assert not any(info.values()), info
    assert model.dtype == dtype, "the weights are handed back in the format that they were measured in"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(base_model_dir, dtype=dtype)
    assert model.num_parameters() == base.num_parameters()
    before, after = loss(base.eval(), tokenizer, valid), loss(model.eval(), tokenizer, valid)
    assert before == pytest.approx(reported["initial_valid_loss"], abs=tolerance)
    assert after == pytest.approx(reported["valid_loss"], abs=tolerance)
    assert after < before - 10 * tolerance, "too little was learned for the comparison to mean anything"
    assert job.fine_tuned_model in [model.id for model in client.models.list()]
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoints and all(point.fine_tuned_model_checkpoint.startswith(job.fine_tuned_model) for point in checkpoints)


@pytest.mark.parametrize("adapter, rate", [
    ({"type": "ia3"}, 0.05),
    ({"type": "prompt", "num_virtual_tokens": 8}, 0.05),
    ({"type": "prefix", "num_virtual_tokens": 8}, 0.05),
    ({"type": "head"}, 0.01),
], ids=lambda value: value["type"] if isinstance(value, dict) else "")
def test_so_it_is_with_every_method(client, base_model_dir, tmp_path, adapter, rate):
    torch.set_num_threads(1)
    valid = chat(12, start=100)
    _, extension = trained(client, tmp_path, valid, "fp32", adapter, rate)
    reported = extension["result"]
    tokenizer = AutoTokenizer.from_pretrained(base_model_dir)
    if adapter["type"] == "head":
        # As its card says.
        model = AutoModelForCausalLM.from_pretrained(base_model_dir, tie_word_embeddings=False)
        model.lm_head.weight.data = load_file(tmp_path / "head.safetensors")["lm_head.weight"].to(model.dtype)
    else:
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_model_dir), tmp_path)
    after = loss(model.eval(), tokenizer, valid)
    # The order of additions differs; 1e-5 of a loss of a few nats.
    assert after == pytest.approx(reported["valid_loss"], abs=1e-5 * max(1.0, after))
    assert after < reported["initial_valid_loss"] - 0.1, "too little was learned for the comparison to mean anything"
