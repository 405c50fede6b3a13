"""The objects of the API, generated from its OpenAPI document by openapi/sdk/generate/python.py: do not change."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class AGem(BaseModel):
    """
    A-GEM.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    batch_size: int | None = None
    """
    Remembered examples that the reference gradient is taken over; null takes as many as a batch has.
    """
    capacity: int = 1000
    """
    The most examples that are remembered, 1 to 1000000.
    """
    policy: Literal["reservoir", "balanced_per_stage"] | str = "balanced_per_stage"
    """
    Which they are.
    """


class Adapter(BaseModel):
    """
    What is trained. A setting that the method does not have must be left out, and is left out of the answer.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["lora", "dora", "ia3", "prefix", "prompt", "bottleneck", "head", "full"] | str = "lora"
    """
    Which method.
    """
    rank: int = 16
    """
    Rank r of the update, 1 to 512.
    """
    alpha: float = 32.0
    """
    Scale of the update: alpha / r, or alpha / sqrt(r) with `rslora`.
    """
    dropout: float = 0.0
    """
    Probability of dropping an input of the adapter while training, 0 to below 1.
    """
    target_modules: Literal["all-linear"] | list[str] | None = None
    rslora: bool = False
    """
    Rank-stabilised scaling (arXiv 2312.03732).
    """
    feedforward_modules: list[str] | None = None
    """
    Of the adapted layers, those whose input is rescaled and not their output, each by a name in `target_modules`; null: the one that leads out
    of the MLP.
    """
    num_virtual_tokens: int = 20
    """
    Learned positions before each sequence, 1 to 1024. They count against `sequence.max_length`.
    """


class Artifact(BaseModel):
    """
    A file of a fine-tuned model.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    The file's name, such as `adapter_model.safetensors`.
    """
    object: str
    """
    Always `model.artifact`.
    """
    bytes: int
    """
    The size in bytes.
    """
    sha256: str
    """
    SHA-256 of the content, in hexadecimal.
    """


class AuditEvent(BaseModel):
    """
    An entry of the audit log.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    Its place in the tenant's chain, as text: the cursor.
    """
    object: str
    """
    Always `audit.event`.
    """
    created_at: int
    """
    When, in Unix seconds.
    """
    created_at_ms: int
    """
    The same in milliseconds, as it was hashed.
    """
    tenant_id: str
    """
    Whose chain it belongs to.
    """
    actor: str
    """
    Who: `key:<public part>`, `token:<subject>` or `system`.
    """
    action: str
    """
    What.
    """
    target: str
    """
    To what.
    """
    detail: dict[str, Any]
    """
    More of it.
    """
    prev_hash: str
    """
    The hash of the entry before it.
    """
    hash: str
    """
    SHA-256 over that and this entry.
    """


class BadLine(BaseModel):
    """
    A line that cannot be trained on.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    line: int
    """
    Its number, from 1.
    """
    code: str
    """
    Machine-readable, such as `invalid_json`.
    """
    field: str
    """
    The place inside the line, such as `messages[1].role`; empty where it is the line itself.
    """
    message: str
    """
    A sentence for people.
    """


class Batching(BaseModel):
    """
    How an effective batch is cut to fit the memory.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    micro_batch_size: Literal["auto"] | int | None = None
    gradient_checkpointing: Literal["auto"] | bool | None = None


class CheckpointExtension(BaseModel):
    """
    What a checkpoint is beside a step of its job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stage: str
    """
    The stage that it is the end of. It is kept, however many are written after it.
    """


class CheckpointMetrics(BaseModel):
    """
    OpenAI's seven figures of a checkpoint. The columns of the result file have the same names and definitions.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    step: int | None = None
    """
    The optimizer step.
    """
    train_loss: float | None = None
    """
    Loss of this step's batch before its update.
    """
    train_mean_token_accuracy: float | None = None
    """
    Token accuracy of the same.
    """
    valid_loss: float | None = None
    """
    The last validation loss up to this step.
    """
    valid_mean_token_accuracy: float | None = None
    """
    Token accuracy of the same.
    """
    full_valid_loss: float | None = None
    """
    Loss over the whole validation file at this step.
    """
    full_valid_mean_token_accuracy: float | None = None
    """
    Token accuracy over the whole validation file at this step.
    """


class Checkpointing(BaseModel):
    """
    When checkpoints are written and how many are kept.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    every_steps: int | None = None
    """
    A checkpoint every so many optimizer steps; null leaves it to the time.
    """
    every_seconds: int | None = 300
    """
    A checkpoint every so many seconds; null leaves it to the steps.
    """
    keep: int = 3
    """
    How many of the newest are kept.
    """


class Compatibility(BaseModel):
    """
    What a consumer of the adapter would make of it.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    consumer: str
    """
    `peft`, `vllm` or `llama.cpp`.
    """
    accepted: bool
    """
    Whether it takes the adapter and applies it as it was trained.
    """
    notes: list[str]
    """
    What to set, or why it is refused.
    """


class CompleteUpload(BaseModel):
    """
    The request to make a file of the parts.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    part_ids: list[str]
    """
    The parts in the order of the file.
    """
    md5: str | None = None
    """
    MD5 of the whole file in hexadecimal; where given, it must be right.
    """


class Strategies4(AGem):
    """
    A gradient that would undo earlier stages is turned. Chaudhry et al., "Efficient Lifelong Learning with A-GEM", 2019.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["a_gem"]


class ContinualProgress(BaseModel):
    """
    Where a stream is.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stage: int
    """
    The stage at hand, from 1, in the order of training.
    """
    stages: int
    """
    Stages of the job.
    """
    name: str
    """
    The stage's name.
    """
    first_step: int
    """
    The job's steps before the stage.
    """
    steps: int
    """
    The stage's steps.
    """


class CreateKey(BaseModel):
    """
    A request to make a key.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    A name for people, 1 to 64 characters.
    """
    scopes: (
        list[
            Literal[
                "files.read",
                "files.write",
                "jobs.read",
                "jobs.write",
                "models.read",
                "models.write",
                "usage.read",
                "webhooks.read",
                "webhooks.write",
                "admin",
            ]
            | str
        ]
        | None
    ) = None
    """
    What it may do; all that a tenant can where left out.
    """
    expires_in_seconds: int | None = None
    """
    Seconds until it expires, 60 to 315360000; never where left out.
    """


class CreateWebhook(BaseModel):
    """
    A request to make an endpoint.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    url: str
    """
    Where events are sent, by `https` on port 443, at most 2048 bytes.
    """
    events: (
        list[
            Literal[
                "fine_tuning.job.created",
                "fine_tuning.job.validating_files",
                "fine_tuning.job.queued",
                "fine_tuning.job.running",
                "fine_tuning.job.paused",
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "webhook.ping",
            ]
            | str
        ]
        | None
    ) = None
    """
    Which events; all where null.
    """
    description: str | None = None
    """
    A text for people, at most 256 characters.
    """


class Deleted(BaseModel):
    """
    The answer to a deletion.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id of what is gone.
    """
    object: str
    """
    What it was: `file` or `model`.
    """
    deleted: bool
    """
    Always true.
    """


class Derpp(BaseModel):
    """
    DER++.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    ratio: float = 0.1
    """
    Remembered examples in a step, as a share of the batch, above 0 to 0.9.
    """
    capacity: int = 1000
    """
    The most examples that are remembered, 1 to 100000: each carries its logits.
    """
    policy: Literal["reservoir", "balanced_per_stage"] | str = "balanced_per_stage"
    """
    Which they are.
    """
    alpha: float = 0.5
    """
    Weight of the squared distance to the kept logits.
    """
    beta: float = 0.5
    """
    Weight of the remembered examples' own loss.
    """
    top_k: int = 16
    """
    How many of a token's logits are kept, the highest, 1 to 256.
    """


class EarlyStopping(BaseModel):
    """
    When to stop before the last epoch.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    patience: int = 3
    """
    Evaluations without an improvement after which the job stops.
    """
    min_delta: float = 0.0
    """
    The least fall of the validation loss that counts as an improvement.
    """


class Ema(BaseModel):
    """
    A moving average of the parameters.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    decay: float = 0.99
    """
    The share of the average that stays in a step, 0 to below 1.
    """


class ErasureSubject(BaseModel):
    """
    What was to be erased.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: str
    """
    `file` or `tenant`.
    """
    id: str
    """
    Its id.
    """


class ErrorDetail(BaseModel):
    """
    OpenAI's four keys; all are always there.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    message: str
    """
    A sentence for people, naming the field, the limit and the value seen.
    """
    type: str
    """
    The class of the error, such as `invalid_request_error`.
    """
    param: str | None
    """
    The field at fault, as a path such as `method.supervised.hyperparameters.batch_size`.
    """
    code: str | None
    """
    The machine-readable code.
    """


class Evaluation(BaseModel):
    """
    When the validation file is looked at.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    every_steps: Literal["auto"] | int | None = None
    metrics: list[Literal["loss", "token_accuracy", "perplexity"] | str] | None = None
    """
    What is measured.
    """


class Ewc(BaseModel):
    """
    Elastic weight consolidation.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    lambda_: Annotated[float, Field(alias="lambda")] = 1000.0
    """
    Weight of the penalty: lambda / 2 sum F (theta - theta*)^2.
    """
    online: bool = False
    """
    One running Fisher information instead of one per stage.
    """
    decay: float = 1.0
    """
    What the running one is multiplied by as a stage is added, 0 to 1; only with `online`.
    """
    samples: int | None = 256
    """
    Examples of a stage that its Fisher information is the mean over, at most; null takes all.
    """


class ExpiresAfter(BaseModel):
    """
    When a file is deleted by itself.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    anchor: str
    """
    Always `created_at`.
    """
    seconds: int
    """
    Seconds after that: 3,600 to 2,592,000.
    """


class File(BaseModel):
    """
    A file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `file`.
    """
    bytes: int
    """
    The size in bytes.
    """
    created_at: int
    """
    When it was uploaded, in Unix seconds.
    """
    expires_at: int | None
    """
    When it is deleted by itself, in Unix seconds; null for never.
    """
    filename: str
    """
    The name it was uploaded under.
    """
    purpose: Literal["fine-tune", "fine-tune-results"] | str
    """
    What it is for.
    """
    status: str
    """
    Always `processed`: deprecated in OpenAI's contract.
    """
    status_details: str | None
    """
    Always null: deprecated in OpenAI's contract.
    """


class FilePrivacyRun(BaseModel):
    """
    One run of a job, as it was charged.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    job: str
    """
    The job.
    """
    epoch: int
    """
    Which of its attempts.
    """
    noise_multiplier: float
    """
    Standard deviation of its noise over the limit on a unit's gradient.
    """
    sampling_rate: float
    """
    The probability with which a unit took part in a step.
    """
    steps_reserved: int
    """
    Steps that it was given before they ran.
    """
    steps_committed: int
    """
    Steps that a checkpoint carries.
    """
    steps_charged: int
    """
    Steps that count: all that were reserved, but for a run that ended in order and gave back what it did not use.
    """
    state: Literal["open", "settled", "crashed"] | str
    """
    Where the run stands.
    """


class Health(BaseModel):
    """
    The answer of a probe.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    status: str
    """
    Always `ok`.
    """


class Hyperparameters(BaseModel):
    """
    OpenAI's three hyperparameters; `"auto"` lets the server choose from the data.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    batch_size: Literal["auto"] | int | None = None
    learning_rate_multiplier: Literal["auto"] | float | None = None
    n_epochs: Literal["auto"] | int | None = None


class JobCheckpoint(BaseModel):
    """
    A checkpoint of a job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `fine_tuning.job.checkpoint`.
    """
    created_at: int
    """
    When, in Unix seconds.
    """
    fine_tuned_model_checkpoint: str
    """
    The name of the checkpoint as a model.
    """
    fine_tuning_job_id: str
    """
    The job.
    """
    step_number: int
    """
    The optimizer step after which it was written.
    """
    metrics: CheckpointMetrics
    """
    The figures at that step.
    """
    trainyard: CheckpointExtension | None = None


class Strategies10(Derpp):
    """
    Replay that also holds the model to the logits that it gave. Buzzega et al., "Dark Experience for General Continual Learning",
    2020.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["derpp"]


class Strategies11(Ewc):
    """
    Parameters that mattered are held in place. Kirkpatrick et al., 2017; `online`: Schwarz et al., 2018.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["ewc"]


class Strategies13(AGem):
    """
    A gradient that would undo earlier stages is turned. Chaudhry et al., "Efficient Lifelong Learning with A-GEM", 2019.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["a_gem"]


class Strategies15(Ema):
    """
    The result is a moving average of the parameters.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["ema"]


class JobErasure(BaseModel):
    """
    That what a job made was erased.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The erasure.
    """
    at: int
    """
    When, in Unix seconds.
    """


class JobError(BaseModel):
    """
    Why a job failed.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    code: str
    """
    Machine-readable; the document's table of job errors has them all, with who can mend each.
    """
    message: str
    """
    A sentence for people.
    """
    param: str | None
    """
    The field or the place in a file at fault.
    """


class JobEvent(BaseModel):
    """
    An entry of a job's history.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `fine_tuning.job.event`.
    """
    created_at: int
    """
    When, in Unix seconds.
    """
    level: Literal["info", "warn", "error"] | str
    """
    How grave.
    """
    message: str
    """
    A sentence for people.
    """
    type: Literal["message", "metrics"] | str
    """
    Whether `data` carries metrics of a step.
    """
    data: dict[str, Any]
    """
    The figures behind the message; empty where there are none.
    """


class JobWebhook(BaseModel):
    """
    An endpoint of one job, as the job shows it.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    url: str
    """
    Where events are sent.
    """
    events: (
        list[
            Literal[
                "fine_tuning.job.created",
                "fine_tuning.job.validating_files",
                "fine_tuning.job.queued",
                "fine_tuning.job.running",
                "fine_tuning.job.paused",
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "webhook.ping",
            ]
            | str
        ]
        | None
    )
    """
    Which events; all where null.
    """


class Joint(BaseModel):
    """
    Joint training.
    """

    model_config = ConfigDict(
        extra="allow",
    )


class Kept(BaseModel):
    """
    A thing that was kept.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["job_record", "same_content", "privacy_ledger", "audit_log", "usage", "backups", "server_log"] | str
    """
    What it is.
    """
    id: str | None
    """
    Its id, where it has one.
    """
    reason: str
    """
    Why, and what is in it.
    """


class LineageCheckpoint(BaseModel):
    """
    A checkpoint that came of the file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    model: str
    """
    Its name as a model.
    """
    job_id: str
    """
    The job that wrote it.
    """


class LineageFile(BaseModel):
    """
    A result file that came of the file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    job_id: str
    """
    The job that made it.
    """


class LineageJob(BaseModel):
    """
    A job that read the file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The job.
    """
    status: Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"] | str
    """
    Its state.
    """
    trained: bool
    """
    Whether it trained on the file.
    """
    validated: bool
    """
    Whether it measured with the file.
    """
    erasure_id: str | None


class LineageModel(BaseModel):
    """
    A model that came of the file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The name.
    """
    job_id: str
    """
    The job that made it.
    """


class Link(BaseModel):
    """
    Where a content can be fetched without a key for a while: whoever has the link has the content.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    object: str
    """
    Always `link`.
    """
    url: str
    """
    The URL, for GET and ranges of it.
    """
    expires_at: int
    """
    When it ends to work, in Unix seconds.
    """
    filename: str
    """
    The content's name.
    """
    bytes: int
    """
    The content's size in bytes.
    """
    sha256: str
    """
    SHA-256 of the content, in hexadecimal.
    """


class Lwf(BaseModel):
    """
    Learning without forgetting.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    alpha: float = 1.0
    """
    Weight of the divergence from the teacher.
    """
    temperature: float = 2.0
    """
    What both sides' logits are divided by.
    """


class MatrixRow(BaseModel):
    """
    A row of a matrix.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stages: list[float]
    """
    One value for each stage.
    """
    held_out: float | None = None
    """
    The value on the held-out file.
    """


class MemoryFit(BaseModel):
    """
    What the job needs of memory, estimated from above.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    fits: bool
    """
    Whether the estimate is within the limit.
    """
    estimated_bytes: int
    """
    Bytes in all.
    """
    limit_bytes: int
    """
    Bytes that a job of the pool may use.
    """
    parts: dict[str, int]
    """
    The parts by name: weights, adapter, activations, loss, engine.
    """
    largest_micro_batch_size: int | None
    """
    The largest `trainyard.batching.micro_batch_size` that fits with the other settings as they are; null where none does.
    """


class Merge(BaseModel):
    """
    A weighted sum of the stages' adapters. Its rank is the sum of their ranks.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    weights: list[float] | None = None
    """
    A weight for each stage of the job, other than 0; null gives each 1 / stages.
    """


class Model(BaseModel):
    """
    A model: a base to train from, or the result of a job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The name: of a base model as registered, of a result `ft:{base}:{organization}:{suffix}:{id}`.
    """
    object: str
    """
    Always `model`.
    """
    created: int
    """
    When it was made, in Unix seconds.
    """
    owned_by: str
    """
    `system` for base models, else the tenant.
    """


class ModelLineageEdge(BaseModel):
    """
    How a thing in a lineage came of another.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["made_by", "continues", "trained_on", "validated_on"] | str
    """
    How.
    """
    from_: Annotated[str, Field(alias="from")]
    """
    What came of the other.
    """
    to: str
    """
    What it came of.
    """


class ModelLineageNode(BaseModel):
    """
    A thing in a lineage.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["model", "job", "dataset"] | str
    """
    What it is.
    """
    id: str
    """
    The name of a model, the id of a job or of a file.
    """
    present: bool
    """
    Whether it is still there.
    """
    status: Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"] | str | None


class NewJobWebhook(BaseModel):
    """
    An endpoint of one job, in the request that makes the job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    url: str
    """
    Where events are sent, by `https`.
    """
    secret: str
    """
    What they are signed with: `whsec_` and the base64 of 24 to 64 random bytes. It is never shown again.
    """
    events: (
        list[
            Literal[
                "fine_tuning.job.created",
                "fine_tuning.job.validating_files",
                "fine_tuning.job.queued",
                "fine_tuning.job.running",
                "fine_tuning.job.paused",
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "webhook.ping",
            ]
            | str
        ]
        | None
    ) = None
    """
    Which events; all where null.
    """


class NewPrivacyBudget(BaseModel):
    """
    A budget that is to be set.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    epsilon: float
    """
    The bound on the privacy loss: 0.001 to 1000.
    """
    delta: Literal["auto"] | float | None = None


class NewStage(BaseModel):
    """
    A stage of a stream.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    Its name, one of its own: 1 to 128 characters.
    """
    training_file: str
    """
    The file that it trains on.
    """
    validation_file: str | None = None
    """
    The file that it is measured with, after every stage. Null is taken only where the job has one stage, no limit and an earlier
    result to go on from: it is then not measured.
    """


class OLora(BaseModel):
    """
    O-LoRA. The result's rank is the sum of its stages' ranks.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    orthogonality: float = 0.5
    """
    Weight of the sum of absolute products of earlier and new rows of A.
    """
    norm: float = 0.0
    """
    Weight of the new adapter's norms.
    """


class Optimizer(BaseModel):
    """
    The optimizer of the adapter's parameters.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["adamw"] = "adamw"
    """
    Which one.
    """
    learning_rate: float | None = None
    """
    Peak learning rate. Null takes the adapter's default times `learning_rate_multiplier`.
    """
    betas: list[float] | None = None
    """
    Decay rates of the first and second moment.
    """
    eps: float = 1e-08
    """
    Added to the root of the second moment.
    """
    weight_decay: float = 0.0
    """
    Decoupled weight decay.
    """
    max_grad_norm: float | None = 1.0
    """
    Gradients are scaled down to this global norm; null leaves them.
    """


class PreflightFile(BaseModel):
    """
    A file of the request.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    param: str
    """
    The field that names it: `training_file`, `validation_file`, or one of `trainyard.continual`.
    """
    id: str
    """
    The file.
    """
    filename: str
    """
    The name it was uploaded under.
    """
    lines: int
    """
    Lines, blank ones included.
    """
    examples: int
    """
    Lines that are examples.
    """
    blank_lines: int
    """
    Blank lines, passed over.
    """
    errors: list[BadLine]
    """
    Lines that cannot be trained on, the first 10000 of them with number and code.
    """
    error_count: int
    """
    Bad lines in all.
    """
    data_report: dict[str, Any] | None
    """
    What would become of the rows, by name, such as `rows`, `target_tokens`, `truncated` and `rejected`. Null where tokens could not be counted.
    """


class PrivacyBudget(BaseModel):
    """
    An (epsilon, delta) guarantee.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    epsilon: float
    """
    The bound on the privacy loss.
    """
    delta: float
    """
    The probability by which it may fail.
    """


class PrivacyForecastPoint(BaseModel):
    """
    A point of a forecast.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    step: int
    """
    Steps of the job done by then.
    """
    epsilon: float
    """
    Epsilon of everything up to there.
    """


class PrivacySpent(BaseModel):
    """
    What a private job has spent.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    epsilon: float
    """
    Epsilon of every step that the job ran or may have run.
    """
    delta: float
    """
    At this delta.
    """
    steps: int
    """
    Those steps: more than the job's own where some were repeated after a crash.
    """


class Progress(BaseModel):
    """
    How far a job is.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    step: int = 0
    """
    Optimizer steps done.
    """
    total_steps: int | None = None
    """
    Optimizer steps in all, once the data has been read.
    """
    tokens: int = 0
    """
    Tokens that went through the model while training.
    """
    tokens_per_second: float | None = None
    """
    Tokens a second over the last steps.
    """
    eta_seconds: float | None = None
    """
    Seconds until the job ends, as far as the last steps tell.
    """
    train_loss: float | None = None
    """
    Loss of the last step.
    """
    valid_loss: float | None = None
    """
    The last validation loss.
    """
    queue_position: int | None = None
    """
    Place in the queue, 1 being the next to run.
    """
    waiting_reason: str | None = None
    """
    Why the job does not run yet.
    """
    estimated_start_at: int | None = None
    """
    When the job is likely to start, in Unix seconds: from what running jobs say of their end and how long their tenants' jobs ran
    before. Null where that is not known, and where the job does not wait for devices.
    """
    attempts: int = 0
    """
    Attempts to run the job so far.
    """
    privacy: PrivacySpent | None = None
    continual: ContinualProgress | None = None


class QueuePlace(BaseModel):
    """
    Where the job would stand in the queue if it were made now.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    position: int
    """
    Its place, 1 being the next to run.
    """
    waiting_reason: str | None
    """
    Why it would wait; null where a slot is free for it.
    """
    estimated_start_at: int | None
    """
    When it would likely start, in Unix seconds; null where that is not known.
    """


class Quota(BaseModel):
    """
    What a tenant may use; null is no limit.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    running_jobs: int | None = None
    """
    Jobs that run or are about to, at once.
    """
    live_jobs: int | None = None
    """
    Jobs that have not ended, running ones among them.
    """
    storage_bytes: int | None = None
    """
    Bytes of files and models.
    """
    accelerator_seconds_per_day: int | None = None
    """
    Seconds of running jobs times their devices, on one day (UTC).
    """
    accelerator_seconds_per_month: int | None = None
    """
    The same in one calendar month (UTC).
    """
    requests_per_minute: int | None = None
    """
    Requests a minute, of all keys together.
    """
    requests_per_minute_per_key: int | None = None
    """
    Requests a minute of each key.
    """


class Removed(BaseModel):
    """
    A thing that was removed.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: (
        Literal[
            "file",
            "upload",
            "model",
            "checkpoint",
            "result_file",
            "object",
            "events",
            "error_message",
            "answer",
            "job",
            "key",
            "webhook",
        ]
        | str
    )
    """
    What it was.
    """
    id: str | None
    """
    Its id, name or key, where it had one.
    """
    job_id: str | None
    count: int
    """
    How many there were: objects, events, answers.
    """
    bytes: int
    """
    Size in bytes.
    """
    sha256: str | None
    """
    SHA-256 of what was removed, in hexadecimal: of a file's content, of the manifest of a model or checkpoint (which has the
    hash of each file), of the JSON lines of events. Null where nothing had content of its own.
    """


class Replay(BaseModel):
    """
    Replay.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    ratio: float = 0.1
    """
    The share of replayed examples in a batch, above 0 to 0.9.
    """
    capacity: int = 1000
    """
    The most examples that are remembered, 1 to 1000000.
    """
    policy: Literal["reservoir", "balanced_per_stage"] | str = "balanced_per_stage"
    """
    Which they are.
    """


class Resources(BaseModel):
    """
    What a job may use and how it stands beside the tenant's others.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    pool: str = "default"
    """
    The pool of executors.
    """
    devices: int = 1
    """
    Devices for the job; 1 in this version.
    """
    priority: Literal["low", "normal", "high"] | str = "normal"
    """
    Order among the tenant's own jobs; a day of waiting counts as one step. A higher one may take the place of a running lower one.
    """
    preemptible: bool = True
    """
    Whether the job may be put back after a checkpoint to let another run.
    """
    max_runtime_seconds: int = 86400
    """
    Running time over all attempts after which the job fails, in seconds.
    """


class RotateKey(BaseModel):
    """
    A request to replace a key by a new one with the same name and scopes.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    overlap_seconds: int | None = None
    """
    Seconds for which the old key still works, 0 to 2592000; 86400 where left out.
    """


class Schedule(BaseModel):
    """
    The course of the learning rate over the optimizer steps.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["constant", "linear", "cosine", "wsd"] | str = "cosine"
    """
    The shape after the warm-up.
    """
    warmup_ratio: float = 0.03
    """
    Share of the steps in which the rate rises from 0 to its peak, 0 to 1.
    """
    min_ratio: float = 0.0
    """
    The last rate as a share of the peak, 0 to 1.
    """


class Sequence(BaseModel):
    """
    How examples become rows.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    max_length: int = 1024
    """
    Tokens in a row at most.
    """
    packing: Literal["auto"] | bool | None = None
    overlong: Literal["truncate", "split", "reject"] | str = "truncate"
    """
    What happens to an example with more tokens. Counted and reported either way.
    """


class StageResult(BaseModel):
    """
    What came of a stage.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    Its name.
    """
    kept: bool
    """
    Whether the adapter went on with it.
    """
    reason: str | None = None
    """
    What the gate said; null where there is none.
    """
    last_step: int | None = None
    """
    The job's steps after the stage; the checkpoint of that step is the adapter after it. Null for a stage of an earlier job.
    """


class Supervised(BaseModel):
    """
    Settings of supervised fine-tuning.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    hyperparameters: Hyperparameters | None = None
    """
    The hyperparameters.
    """


class Tenant(BaseModel):
    """
    A tenant.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id; clients see it as the organization.
    """
    object: str
    """
    Always `tenant`.
    """
    created_at: int
    """
    When it was made, in Unix seconds.
    """
    name: str
    """
    A name for people.
    """
    status: Literal["active", "suspended", "erasing"] | str
    """
    Whether its keys work.
    """
    quota: Quota
    """
    What it may use.
    """
    weight: int
    """
    Its part of the devices where tenants compete for them: one of weight 2 gets twice what one of weight 1 gets.
    """


class TenantKey(BaseModel):
    """
    An API key, without its secret.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The public part.
    """
    object: str
    """
    Always `api_key`.
    """
    tenant_id: str
    """
    Whose it is.
    """
    name: str
    """
    A name for people.
    """
    scopes: list[
        Literal[
            "files.read",
            "files.write",
            "jobs.read",
            "jobs.write",
            "models.read",
            "models.write",
            "usage.read",
            "webhooks.read",
            "webhooks.write",
            "admin",
        ]
        | str
    ]
    """
    What it may do.
    """
    created_at: int
    """
    When it was made, in Unix seconds.
    """
    expires_at: int | None
    """
    From when on it does not work, in Unix seconds.
    """
    revoked_at: int | None
    """
    When it was revoked, in Unix seconds.
    """
    last_used_at: int | None
    """
    When it was last used, in Unix seconds, to the minute.
    """
    key: str | None = None
    """
    The whole key, in the answer that made it and never again.
    """


class TimeEstimate(BaseModel):
    """
    How long the job would run.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    seconds: float
    """
    Seconds of training, without the wait.
    """
    tokens_per_second: float
    """
    Tokens a second that this assumes.
    """
    basis: str
    """
    What the rate is from: `earlier_jobs` of the tenant on the same model, or `measured_rate` of this machine's matrix products.
    """


class Trained(BaseModel):
    """
    What came of a file, by name.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    jobs: list[str]
    """
    Jobs that read it.
    """
    models: list[str]
    """
    Models that they made.
    """
    checkpoints: list[str]
    """
    Their checkpoints, by their names as models.
    """
    result_files: list[str]
    """
    Their result files.
    """


class UpdateTenant(BaseModel):
    """
    A request to change a tenant: what is left out stays.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str | None = None
    """
    A name for people.
    """
    status: Literal["active", "suspended", "erasing"] | str | None = None
    quota: Quota | None = None
    weight: int | None = None
    """
    Its part of the devices where tenants compete for them, 1 to 1000.
    """


class UpdateWebhook(BaseModel):
    """
    A request to change an endpoint: what is left out stays.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    url: str | None = None
    """
    Where events are sent.
    """
    events: (
        list[
            Literal[
                "fine_tuning.job.created",
                "fine_tuning.job.validating_files",
                "fine_tuning.job.queued",
                "fine_tuning.job.running",
                "fine_tuning.job.paused",
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "webhook.ping",
            ]
            | str
        ]
        | None
    ) = None
    """
    Which events; null for all.
    """
    enabled: bool | None = None
    """
    Whether events are sent.
    """
    description: str | None = None
    """
    A text for people; null for none.
    """


class Upload(BaseModel):
    """
    A file on its way in, in parts.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `upload`.
    """
    bytes: int
    """
    The bytes that the parts shall add up to.
    """
    created_at: int
    """
    When it was begun, in Unix seconds.
    """
    filename: str
    """
    The name that the file shall have.
    """
    purpose: str
    """
    What the file shall be for.
    """
    status: Literal["pending", "completed", "cancelled", "expired"] | str
    """
    How far it is.
    """
    expires_at: int
    """
    When it is given up unless it is completed before, in Unix seconds.
    """
    file: File | None


class UploadPart(BaseModel):
    """
    A part of an upload.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `upload.part`.
    """
    created_at: int
    """
    When it was added, in Unix seconds.
    """
    upload_id: str
    """
    The upload that it belongs to.
    """


class UsageDay(BaseModel):
    """
    What a tenant has used on one day.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    date: str
    """
    The day in UTC, such as `2026-11-24`.
    """
    object: str
    """
    Always `usage.day`.
    """
    accelerator_seconds: float
    """
    Seconds that executors held for jobs, times the devices of each.
    """
    trained_tokens: int
    """
    Tokens of the jobs that succeeded on this day.
    """
    jobs_created: int
    """
    Jobs that were created.
    """
    jobs_succeeded: int
    """
    Jobs that succeeded.
    """


class UserUnit(BaseModel):
    """
    All lines of one user, drawn together.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    user_field: str
    """
    The key of each line, beside its data, that names the user: a string or a whole number.
    """
    examples_per_unit: int
    """
    The most lines of a user that take part in a step; the user's gradient is the mean over them.
    """


class Webhook(BaseModel):
    """
    An endpoint that is told of the events of all jobs of the tenant.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `webhook`.
    """
    created_at: int
    """
    When it was made, in Unix seconds.
    """
    url: str
    """
    Where events are sent.
    """
    description: str | None
    """
    A text for people.
    """
    events: (
        list[
            Literal[
                "fine_tuning.job.created",
                "fine_tuning.job.validating_files",
                "fine_tuning.job.queued",
                "fine_tuning.job.running",
                "fine_tuning.job.paused",
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "webhook.ping",
            ]
            | str
        ]
        | None
    )
    """
    Which events; all where null.
    """
    enabled: bool
    """
    Whether events are sent.
    """
    disabled_reason: str | None
    """
    Why the server sends none any more, where it was the server that ended it.
    """
    old_secret_until: int | None
    """
    Until when the secret before this one signs too, in Unix seconds.
    """
    secret: str | None = None


class WebhookDelivery(BaseModel):
    """
    An event on its way to one endpoint.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id: `id` of the body and the header `webhook-id`, the same at every attempt.
    """
    object: str
    """
    Always `webhook.delivery`.
    """
    created_at: int
    """
    When the event happened, in Unix seconds.
    """
    webhook_id: str
    """
    The endpoint.
    """
    type: (
        Literal[
            "fine_tuning.job.created",
            "fine_tuning.job.validating_files",
            "fine_tuning.job.queued",
            "fine_tuning.job.running",
            "fine_tuning.job.paused",
            "fine_tuning.job.succeeded",
            "fine_tuning.job.failed",
            "fine_tuning.job.cancelled",
            "webhook.ping",
        ]
        | str
    )
    """
    What happened.
    """
    job_id: str | None
    status: Literal["pending", "delivered", "failed"] | str
    """
    How far it is.
    """
    attempts: int
    """
    How often it was tried.
    """
    last_response_status: int | None
    """
    The HTTP status of the last answer, where there was one.
    """
    last_error: str | None
    """
    Why the last attempt failed.
    """
    next_attempt_at: int | None
    """
    When it is tried next, in Unix seconds, while it is pending.
    """


class Strategies(Replay):
    """
    Examples of earlier stages are mixed into every batch.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["replay"]


class Strategies1(Derpp):
    """
    Replay that also holds the model to the logits that it gave. Buzzega et al., "Dark Experience for General Continual Learning",
    2020.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["derpp"]


class Strategies2(Ewc):
    """
    Parameters that mattered are held in place. Kirkpatrick et al., 2017; `online`: Schwarz et al., 2018.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["ewc"]


class Strategies3(Lwf):
    """
    The model is held to what the adapter before the stage says of the stage's data. Li and Hoiem, "Learning without Forgetting", 2016.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["lwf"]


class Strategies5(OLora):
    """
    Every stage gets an adapter of its own, orthogonal to those before. Wang et al., "Orthogonal Subspace Learning", 2023.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["o_lora"]


class Strategies6(Ema):
    """
    The result is a moving average of the parameters.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["ema"]


class Strategies7(Merge):
    """
    Every stage trains an adapter of its own from the start; the result is their weighted sum.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["merge"]


class Strategies8(Joint):
    """
    All stages at once, in one stage: not continual, but the bound that the others are measured against.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["joint"]


class Continual(BaseModel):
    """
    Trains one adapter through a stream of stages, one after the other, and reports what it forgot on the way. Where `model` is an earlier
    result, the job goes on from it: its stages come before this job's.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stages: list[NewStage] | None = None
    """
    The stages in the order of the data; null makes one stage of the job's own two files. The first stage's training file is the
    job's `training_file`, and the job has no `validation_file` beside those of its stages.
    """
    strategies: (
        list[
            Strategies
            | Strategies1
            | Strategies2
            | Strategies3
            | Strategies4
            | Strategies5
            | Strategies6
            | Strategies7
            | Strategies8
        ]
        | None
    ) = None
    """
    What is done against forgetting; none is to train on, stage after stage.
    """
    held_out_file: str | None = None
    """
    A general file that is measured after every stage and never trained on.
    """
    max_forgetting: float | None = None
    """
    The most that the loss on an earlier stage may rise above its best, in nats: a stage that breaks it is rejected, and the adapter
    before it stays the result.
    """
    max_held_out_fall: float | None = None
    """
    The same limit on the held-out file's loss.
    """
    order: Literal["as_given", "easiest_first", "hardest_first", "shuffled"] | str = "as_given"
    """
    The order in which the stages are trained.
    """


class CreateTenant(BaseModel):
    """
    A request to make a tenant.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    name: str
    """
    A name for people, 1 to 64 characters.
    """
    quota: Quota | None = None
    """
    What it may use; no limits where left out.
    """
    weight: int = 1
    """
    Its part of the devices where tenants compete for them, 1 to 1000; 1 where left out.
    """


class CreateUpload(BaseModel):
    """
    The request to begin an upload.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    filename: str
    """
    The name of the file.
    """
    purpose: str
    """
    Always `fine-tune`.
    """
    bytes: int
    """
    The size of the file in bytes: 1 to 8,589,934,592.
    """
    mime_type: str
    """
    The MIME type of the file; lines are read as JSON whatever it says.
    """
    expires_after: ExpiresAfter | None = None


class ErasureReceipt(BaseModel):
    """
    What an erasure removed and what it kept.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id; a repeat of the request has the same.
    """
    object: str
    """
    Always `erasure.receipt`.
    """
    created_at: int
    """
    When it was asked for, in Unix seconds. From then on nobody can use what is erased.
    """
    completed_at: int | None
    """
    When the last of it was gone, in Unix seconds.
    """
    status: Literal["in_progress", "completed"] | str
    """
    Whether it has come to its end. One that has not goes on by itself.
    """
    subject: ErasureSubject
    """
    What was to be erased.
    """
    counts: dict[str, int]
    """
    How many of each kind were removed.
    """
    bytes: int
    """
    Bytes of all objects that were removed.
    """
    removed: list[Removed]
    """
    Each thing that was removed.
    """
    kept: list[Kept]
    """
    What was not removed, and why.
    """


class ErrorBody(BaseModel):
    """
    The body of every error answer.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    error: ErrorDetail
    """
    The error.
    """


class FileDeletion(BaseModel):
    """
    What was made of a deleted file, and what became of that.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    trained: Trained
    """
    What was trained on the file or measured with it. Without `cascade` it is still there.
    """
    erasure: ErasureReceipt | None


class FilePrivacy(BaseModel):
    """
    What was spent of a file's privacy, over all jobs on the same content, whatever their files are called.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    object: str
    """
    Always `file.privacy`.
    """
    file: str
    """
    The file.
    """
    sha256: str
    """
    SHA-256 of its content, in hexadecimal: another file with the same content has the same budget.
    """
    unit: Literal["example"] | UserUnit | None
    units: int | None
    """
    How many of them the file has.
    """
    accountant: Literal["prv", "rdp"] | str | None
    budget: PrivacyBudget | None
    spent_epsilon: float
    """
    Epsilon of every step that a job ran or may have run.
    """
    remaining_epsilon: float | None
    """
    The budget's epsilon less that; null where no budget was set. Epsilons do not add up: a job may fit whose own is larger.
    """
    delta: float | None
    """
    The delta at which epsilon was counted.
    """
    jobs: list[FilePrivacyRun]
    """
    Every run that drew on it, in the order in which they began.
    """


class Strategies9(Replay):
    """
    Examples of earlier stages are mixed into every batch.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["replay"]


class Strategies12(Lwf):
    """
    The model is held to what the adapter before the stage says of the stage's data. Li and Hoiem, "Learning without Forgetting", 2016.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["lwf"]


class Strategies14(OLora):
    """
    Every stage gets an adapter of its own, orthogonal to those before. Wang et al., "Orthogonal Subspace Learning", 2023.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["o_lora"]


class Strategies16(Merge):
    """
    Every stage trains an adapter of its own from the start; the result is their weighted sum.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["merge"]


class Strategies17(Joint):
    """
    All stages at once, in one stage: not continual, but the bound that the others are measured against.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["joint"]


class JobContinual(BaseModel):
    """
    The continual learning of a job as it is carried out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stages: list[NewStage]
    """
    The stages of this job, as given.
    """
    earlier_stages: list[str]
    """
    Those of the models that it goes on from, the first first.
    """
    strategies: list[
        Strategies9
        | Strategies10
        | Strategies11
        | Strategies12
        | Strategies13
        | Strategies14
        | Strategies15
        | Strategies16
        | Strategies17
    ]
    """
    What is done against forgetting.
    """
    held_out_file: str | None = None
    """
    The general file.
    """
    max_forgetting: float | None = None
    """
    The limit on forgetting, in nats.
    """
    max_held_out_fall: float | None = None
    """
    The limit on the held-out file.
    """
    order: Literal["as_given", "easiest_first", "hardest_first", "shuffled"] | str
    """
    The order of the stages.
    """


class JobPrivacy(BaseModel):
    """
    The privacy of a job as it is carried out.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    target_epsilon: float
    """
    The most epsilon that the job may spend: a run that was repeated after a crash stops before it.
    """
    noise_multiplier: float
    """
    The noise in use.
    """
    delta: float
    """
    The delta in use.
    """
    clip_norm: float
    """
    The limit on a unit's gradient.
    """
    clipping: Literal["flat", "per_layer", "automatic", "adaptive"] | str
    """
    How gradients are cut.
    """
    unit: Literal["example"] | UserUnit
    """
    Whom the guarantee protects.
    """
    accountant: Literal["prv", "rdp"] | str
    """
    How epsilon is counted.
    """
    units: int
    """
    Units in the training file.
    """
    sampling_rate: float
    """
    The probability with which a unit takes part in a step.
    """
    steps: int
    """
    Steps planned.
    """
    expected_epsilon: float
    """
    Epsilon once all of them have run, each of them once.
    """
    not_covered: list[str]
    """
    What the guarantee does not cover.
    """


class Lineage(BaseModel):
    """
    What came of a file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The file.
    """
    object: str
    """
    Always `file.lineage`.
    """
    sha256: str | None
    """
    SHA-256 of its content, in hexadecimal; null where the file was deleted before.
    """
    jobs: list[LineageJob]
    """
    Jobs that read it, newest first, the newest 1000 at most.
    """
    models: list[LineageModel]
    """
    Models that those jobs made.
    """
    checkpoints: list[LineageCheckpoint]
    """
    Their checkpoints.
    """
    result_files: list[LineageFile]
    """
    Their result files.
    """
    same_content: list[str]
    """
    Other files of the tenant with the same content: erasing this one leaves them.
    """
    has_more: bool
    """
    Whether there are more jobs than are shown.
    """


class Matrix(BaseModel):
    """
    The scores on every stage after every stage, and what is read off them.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    metric: str
    """
    The measure: `loss` in nats, `token_accuracy` or `perplexity`. A perplexity above 1e12 is given as 1e12; the matrix of the loss is
    always there and has no such limit.
    """
    higher_is_better: bool
    """
    Which way it is better.
    """
    stages: list[str]
    """
    The names of the columns, in the order of training.
    """
    after: list[str] | None = None
    """
    What was trained last before each row: a stage, or `joint` where all of them were trained at once.
    """
    base: MatrixRow
    """
    The untrained model.
    """
    rows: list[MatrixRow]
    """
    The adapter after each stage so far. What the adapters of earlier jobs but the last would score on this job's stages is not
    known: the base model's value stands there, so that it counts neither as learned nor as forgotten.
    """
    average: float | None = None
    """
    The mean of the last row, turned like the figures below so that higher is better: of a loss it is negated.
    """
    backward_transfer: float | None = None
    """
    How much the stages after a stage changed what it had learned, on average: below 0 they undid some of it.
    """
    forward_transfer: float | None = None
    """
    How much better a stage was before it was trained than with the untrained model, on average.
    """
    forgetting: float | None = None
    """
    How far earlier stages are below their best, on average.
    """


class Method(BaseModel):
    """
    The training method of a job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    type: Literal["supervised", "dpo", "reinforcement"] | str
    """
    Which of the methods.
    """
    supervised: Supervised | None = None
    dpo: dict[str, Any] | None = None
    """
    Settings of direct preference optimisation. Not available in this version.
    """
    reinforcement: dict[str, Any] | None = None
    """
    Settings of reinforcement fine-tuning. Not available in this version.
    """


class ModelLineage(BaseModel):
    """
    What a model came of, and what came of it: a graph of models, jobs and datasets.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The model's name.
    """
    object: str
    """
    Always `model.lineage`.
    """
    nodes: list[ModelLineageNode]
    """
    Models, jobs and datasets, each once, the nearest to the model first; 1000 at most.
    """
    edges: list[ModelLineageEdge]
    """
    How they hang together.
    """
    truncated: bool
    """
    Whether there are more nodes than are shown.
    """


class Privacy(BaseModel):
    """
    Makes a job differentially private. Give `target_epsilon` and the noise is chosen for it, or give `noise_multiplier` and epsilon
    follows from it.

    The guarantee is (epsilon, delta) for data sets that differ by one unit added or removed. Every step draws each unit on its own with
    the same probability, cuts its gradient to a limit, and adds noise to the sum.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    target_epsilon: float | None = None
    """
    The most epsilon that the job may spend; 0.001 to 1000.
    """
    noise_multiplier: float | None = None
    """
    Standard deviation of the noise over the limit on a unit's gradient; 0.01 to 1000000.
    """
    delta: Literal["auto"] | float | None = None
    clip_norm: float = 1.0
    """
    The limit on the L2 norm of a unit's gradient: where `clipping` is `adaptive`, that of the first step.
    """
    clipping: Literal["flat", "per_layer", "automatic", "adaptive"] | str = "flat"
    """
    How gradients are cut.
    """
    unit: Annotated[Literal["example"] | UserUnit, Field(validate_default=True)] = "example"
    """
    Whom the guarantee protects.
    """
    accountant: Literal["prv", "rdp"] | str = "prv"
    """
    How epsilon is counted.
    """


class PrivacyForecast(BaseModel):
    """
    What a private job would cost its training file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    spent_before: float
    """
    Epsilon that earlier jobs on the same content spent.
    """
    budget: PrivacyBudget | None
    remaining: float | None
    """
    The budget's epsilon less what was spent; null where no budget was set.
    """
    fits: bool
    """
    Whether all steps of the job fit now: a job that does not fit is refused.
    """
    forecast: list[PrivacyForecastPoint]
    """
    The file's epsilon as the job goes on, in ten equal parts. By Rényi orders, so a little above what is charged by `prv`.
    """
    not_covered: list[str]
    """
    What the guarantee does not cover.
    """


class SetPrivacyBudget(BaseModel):
    """
    Sets what all private jobs on a file's content may spend together.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    budget: NewPrivacyBudget
    """
    The budget.
    """
    unit: Literal["example"] | UserUnit | None = None


class Usage(BaseModel):
    """
    What a tenant has used and what it may.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    object: str
    """
    Always `usage`.
    """
    data: list[UsageDay]
    """
    Days on which something was used, oldest first.
    """
    storage_bytes: int
    """
    Bytes of files and models now.
    """
    live_jobs: int
    """
    Jobs that have not ended now.
    """
    accelerator_seconds_today: float
    """
    Accelerator-seconds of today.
    """
    accelerator_seconds_this_month: float
    """
    Accelerator-seconds of this month.
    """
    quota: Quota
    """
    What the tenant may use.
    """


class ContinualResult(BaseModel):
    """
    What came of the stages of a job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    stages: list[StageResult] | None = None
    """
    The stages that are over, in the order of training, those of earlier jobs first.
    """
    matrices: list[Matrix] | None = None
    """
    One matrix for each measure.
    """


class DeletedFile(BaseModel):
    """
    The answer to the deletion of a file.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id of the file that is gone.
    """
    object: str
    """
    Always `file`.
    """
    deleted: bool
    """
    Always true.
    """
    trainyard: FileDeletion
    """
    What Trainyard says beyond OpenAI's contract.
    """


class DeletedTenant(BaseModel):
    """
    The answer to the deletion of a tenant.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id of the tenant that is gone.
    """
    object: str
    """
    Always `tenant`.
    """
    deleted: bool
    """
    Always true.
    """
    erasure: ErasureReceipt
    """
    The receipt; it is read again with the operator's key.
    """


class Extension(BaseModel):
    """
    Trainyard's own settings of a create request.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    adapter: Adapter | None = None
    """
    What is trained on top of the frozen base.
    """
    optimizer: Optimizer | None = None
    """
    The optimizer.
    """
    schedule: Schedule | None = None
    """
    The course of the learning rate.
    """
    precision: Literal["auto"] | Literal["fp32", "bf16", "fp16"] | str | None = None
    sequence: Sequence | None = None
    """
    How examples become rows of tokens.
    """
    batching: Batching | None = None
    """
    How an effective batch is cut to fit the memory.
    """
    checkpoint: Checkpointing | None = None
    """
    When checkpoints are written and how many are kept.
    """
    evaluation: Evaluation | None = None
    """
    When the validation file is looked at.
    """
    early_stopping: EarlyStopping | None = None
    data: dict[str, Any] | None = None
    """
    Data cleaning. Not available in this version: anything but null is refused.
    """
    privacy: Privacy | None = None
    continual: Continual | None = None
    resources: Resources | None = None
    """
    What the job may use.
    """
    webhook: NewJobWebhook | None = None


class JobResult(BaseModel):
    """
    What came out of a job that succeeded.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    train_loss: float | None = None
    """
    Mean training loss over the last epoch's steps.
    """
    initial_valid_loss: float | None = None
    """
    Validation loss before the first step.
    """
    valid_loss: float | None = None
    """
    Validation loss of the adapter that is handed back, over the whole validation file.
    """
    valid_mean_token_accuracy: float | None = None
    """
    Validation token accuracy of the same.
    """
    steps: int = 0
    """
    Optimizer steps taken.
    """
    stopped_early: bool = False
    """
    Whether early stopping ended the job.
    """
    target_tokens: int = 0
    """
    Tokens that the loss was taken over, all epochs together.
    """
    trainable_parameters: int = 0
    """
    Parameters that were trained.
    """
    micro_batch_size: int | None = None
    """
    Rows of a micro-batch at the end: fewer than `batching.micro_batch_size` where memory ran out. Null where an older version
    trained it.
    """
    training_seconds: float = 0.0
    """
    Seconds of training, all attempts together.
    """
    training_data_sha256: str | None = None
    """
    SHA-256 of the training file.
    """
    adapter_sha256: str | None = None
    """
    SHA-256 of the weights that were trained: of `adapter_model.safetensors`, of a head `head.safetensors`, of all weights `model.safetensors`.
    """
    privacy: PrivacySpent | None = None
    signal_to_noise: float | None = None
    """
    How much louder than the noise the private gradients were: the mean over all steps of signal over noise, in squared norms. Worked
    out from what was released with noise, so it costs nothing. Null where the job is not private.
    """
    continual: ContinualResult | None = None
    data_report: dict[str, int] | None = None
    """
    What happened to the rows of the data, by name: truncated, rejected and so on.
    """


class CreateJob(BaseModel):
    """
    The body of `POST /v1/fine_tuning/jobs`.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    model: str
    """
    The base model, by a name that `GET /v1/models` lists; or a fine-tuned model or checkpoint, by its name, which the job then goes on from.
    """
    training_file: str
    """
    The id of an uploaded JSONL file with purpose `fine-tune`.
    """
    validation_file: str | None = None
    """
    The id of a file that is measured but not trained on.
    """
    suffix: str | None = None
    """
    Up to 64 characters that go into the name of the fine-tuned model.
    """
    seed: int | None = None
    """
    Seed of everything random, 0 to 2147483647; drawn where left out.
    """
    metadata: dict[str, Any] | None = None
    """
    Up to 16 pairs of the client's own; keys up to 64 characters, values up to 512.
    """
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    integrations: list[dict[str, Any]] | None = None
    """
    Experiment trackers. Not available in this version: a non-empty list is refused.
    """
    trainyard: Extension | None = None


class JobExtension(BaseModel):
    """
    The same settings as the job carries them out, every `"auto"` resolved, with progress and result.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    adapter: Adapter
    """
    The settings, resolved.
    """
    optimizer: Optimizer
    """
    The optimizer; `learning_rate` is the peak rate in use.
    """
    schedule: Schedule
    """
    The course of the learning rate.
    """
    precision: Literal["auto"] | Literal["fp32", "bf16", "fp16"] | str
    sequence: Sequence
    """
    How examples become rows.
    """
    batching: Batching
    """
    How the effective batch is cut.
    """
    checkpoint: Checkpointing
    """
    When checkpoints are written.
    """
    evaluation: Evaluation
    """
    When the validation file is looked at.
    """
    early_stopping: EarlyStopping | None = None
    data: dict[str, Any] | None = None
    """
    Always null in this version.
    """
    privacy: JobPrivacy | None = None
    continual: JobContinual | None = None
    resources: Resources
    """
    What the job may use.
    """
    webhook: JobWebhook | None = None
    progress: Progress
    """
    How far the job is.
    """
    result: JobResult | None = None
    erased: JobErasure | None = None


class Preflight(BaseModel):
    """
    What a create request would come to. Nothing is stored of it.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    object: str
    """
    Always `fine_tuning.preflight`.
    """
    valid: bool
    """
    Whether the job would be taken and get past `validating_files`.
    """
    model: str
    """
    The base model, or the earlier result that the job goes on from.
    """
    seed: int
    """
    The seed that would be used; drawn anew each time where the request names none.
    """
    method: Method
    """
    The method, every `"auto"` resolved.
    """
    trainyard: JobExtension
    """
    Trainyard's own settings, every `"auto"` resolved.
    """
    files: list[PreflightFile]
    """
    The files: training first.
    """
    total_steps: int
    """
    Optimizer steps; exact where `token_counts` is null, else an estimate from the number of lines.
    """
    total_tokens: int | None
    """
    Tokens that would go through the model, all epochs together; null where they could not be counted.
    """
    token_counts: str | None
    """
    Why tokens could not be counted; null where they were.
    """
    memory: MemoryFit
    """
    Whether it fits the memory.
    """
    time: TimeEstimate | None
    queue: QueuePlace
    """
    Where it would stand in the queue.
    """
    compatibility: list[Compatibility]
    """
    What consumers of the adapter would make of it.
    """
    privacy: PrivacyForecast | None


class Job(BaseModel):
    """
    A fine-tuning job.
    """

    model_config = ConfigDict(
        extra="allow",
    )
    id: str
    """
    The id.
    """
    object: str
    """
    Always `fine_tuning.job`.
    """
    created_at: int
    """
    When the job was made, in Unix seconds.
    """
    error: JobError | None
    fine_tuned_model: str | None
    """
    The name of the result; null until the job has succeeded.
    """
    finished_at: int | None
    """
    When the job ended, in Unix seconds.
    """
    hyperparameters: Hyperparameters
    """
    The hyperparameters in use.
    """
    model: str
    """
    The base model, or the earlier result that the job goes on from.
    """
    organization_id: str
    """
    The tenant.
    """
    result_files: list[str]
    """
    The ids of the result CSV files.
    """
    status: Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"] | str
    """
    The state.
    """
    trained_tokens: int | None
    """
    Tokens trained on, all epochs together; null until the job has ended.
    """
    training_file: str
    """
    The training file.
    """
    validation_file: str | None
    seed: int
    """
    The seed in use.
    """
    estimated_finish: int | None
    """
    When the job is expected to end, in Unix seconds; null while that is not known.
    """
    method: Method
    """
    The method, with the hyperparameters in use.
    """
    metadata: dict[str, Any] | None
    """
    The client's own pairs.
    """
    integrations: list[dict[str, Any]]
    """
    Always empty in this version.
    """
    trainyard: JobExtension
    """
    Trainyard's own settings, resolved, with progress and result.
    """
