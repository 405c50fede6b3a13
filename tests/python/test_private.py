"""Private jobs with the unmodified `openai` package: privacy goes in by `extra_body` and comes back in `model_extra`."""

import csv
import io

import openai
import pytest

from conftest import chat, ended, wait

PRIVACY = {"target_epsilon": 8.0, "clip_norm": 1.0}


def create(client, training_file, privacy, **more):
    return client.fine_tuning.jobs.create(
        model="tiny", training_file=training_file.id, seed=5,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 6, "batch_size": 10}}},
        extra_body={"trainyard": {"privacy": privacy, "precision": "fp32", "optimizer": {"learning_rate": 0.02}}}, **more)


@pytest.fixture(scope="module")
def training_file(client):
    return client.files.create(file=("train.jsonl", chat(40)), purpose="fine-tune")


@pytest.fixture(scope="module")
def job(client, training_file):
    validation_file = client.files.create(file=("valid.jsonl", chat(8, start=40)), purpose="fine-tune")
    return wait(client, create(client, training_file, PRIVACY, validation_file=validation_file.id), ended)


def test_it_spends_what_it_was_given(job):
    assert job.status == "succeeded", job.error
    plan, result = job.model_extra["trainyard"]["privacy"], job.model_extra["trainyard"]["result"]
    assert plan["target_epsilon"] == 8.0 and plan["units"] == 40 and plan["sampling_rate"] == 0.25 and plan["steps"] == 24
    assert 7.9 < plan["expected_epsilon"] <= 8.0 and plan["noise_multiplier"] > 0.5
    assert plan["not_covered"]
    assert result["steps"] == 24 and result["privacy"]["steps"] == 24
    assert 7.9 < result["privacy"]["epsilon"] <= 8.0 and result["privacy"]["delta"] == plan["delta"]
    assert result["valid_loss"] < result["initial_valid_loss"], "nothing was learned"


def test_nothing_of_a_batch_is_told(client, job):
    assert job.model_extra["trainyard"]["result"]["train_loss"] is None
    for event in client.fine_tuning.jobs.list_events(job.id, limit=100):
        assert "training loss" not in event.message
        assert (event.data or {}).get("train_loss") is None, event
    rows = list(csv.DictReader(io.StringIO(client.files.content(job.result_files[0]).text)))
    assert len(rows) == 25 and all(row["train_loss"] == "" and row["train_mean_token_accuracy"] == "" for row in rows)
    tokens = [int(row["tokens"]) for row in rows]
    assert len({later - earlier for earlier, later in zip(tokens[1:], tokens[2:])}) <= 2, "tokens tell who was drawn"


def test_the_file_remembers(client, job, training_file):
    privacy = client.get(f"/files/{training_file.id}/privacy", cast_to=object)
    assert privacy["object"] == "file.privacy" and privacy["units"] == 40 and privacy["budget"] is None
    assert [run["job"] for run in privacy["jobs"]] == [job.id]
    assert privacy["jobs"][0]["steps_charged"] == 24 and privacy["jobs"][0]["state"] == "settled"
    assert privacy["spent_epsilon"] > 5


@pytest.mark.parametrize("privacy, param", [
    ({}, "target_epsilon"),
    ({"target_epsilon": -1}, "target_epsilon"),
    ({"target_epsilon": 8, "noise_multiplier": 1}, "noise_multiplier"),
    ({"target_epsilon": 8, "delta": 0.2}, "delta"),
    ({"target_epsilon": 8, "clip_norm": 0}, "clip_norm"),
    ({"target_epsilon": 8, "unit": {"user_field": "messages", "examples_per_unit": 2}}, "unit.user_field"),
])
def test_what_cannot_be_promised_is_refused(client, training_file, privacy, param):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, training_file, privacy)
    assert refused.value.param == f"trainyard.privacy.{param}", refused.value.message


def test_validation_on_private_data_is_refused(client, job, training_file):
    copy = client.files.create(file=("copy.jsonl", chat(40)), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, training_file, PRIVACY, validation_file=copy.id)
    assert refused.value.param == "validation_file"


def test_lines_that_do_not_name_their_user_are_refused(client, training_file):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, training_file, {"target_epsilon": 8, "unit": {"user_field": "who", "examples_per_unit": 2}})
    assert refused.value.param == "training_file" and "line 1" in refused.value.message and "who" in refused.value.message
