// Generated from the API's OpenAPI document by openapi/sdk/generate/typescript.py: do not change.
export interface components {
    schemas: {
        /** @description A-GEM. */
        AGem: {
            /**
             * Format: int64
             * @description Remembered examples that the reference gradient is taken over; null takes as many as a batch has.
             * @default null
             */
            batch_size?: number | null;
            /**
             * Format: int64
             * @description The most examples that are remembered, 1 to 1000000.
             * @default 1000
             */
            capacity?: number;
            /**
             * @description Which they are.
             * @default balanced_per_stage
             */
            policy?: components["schemas"]["MemoryPolicy"];
        };
        /** @description What is trained. A setting that the method does not have must be left out, and is left out of the answer. */
        Adapter: {
            /**
             * @description Which method.
             * @default lora
             */
            type?: components["schemas"]["AdapterKind"];
            /**
             * Format: int32
             * @description Rank r of the update, 1 to 512.
             * @default 16
             */
            rank?: number;
            /**
             * Format: double
             * @description Scale of the update: alpha / r, or alpha / sqrt(r) with `rslora`.
             * @default 32
             */
            alpha?: number;
            /**
             * Format: double
             * @description Probability of dropping an input of the adapter while training, 0 to below 1.
             * @default 0
             */
            dropout?: number;
            target_modules?: "all-linear" | string[];
            /**
             * @description Rank-stabilised scaling (arXiv 2312.03732).
             * @default false
             */
            rslora?: boolean;
            /**
             * @description Of the adapted layers, those whose input is rescaled and not their output, each by a name in `target_modules`; null: the one that leads out
             *     of the MLP.
             * @default null
             */
            feedforward_modules?: string[] | null;
            /**
             * Format: int32
             * @description Learned positions before each sequence, 1 to 1024. They count against `sequence.max_length`.
             * @default 20
             */
            num_virtual_tokens?: number;
        };
        /**
         * @description The adapter methods of the contract. This version carries out all but `dora` and `bottleneck`, which it refuses by name.
         * @enum {string}
         */
        AdapterKind: "lora" | "dora" | "ia3" | "prefix" | "prompt" | "bottleneck" | "head" | "full";
        /** @description A part, for the document. */
        AddUploadPart: {
            /**
             * Format: binary
             * @description A piece of the file, up to 64 MiB.
             */
            data: string;
        };
        /** @description A file of a fine-tuned model. */
        Artifact: {
            /** @description The file's name, such as `adapter_model.safetensors`. */
            name: string;
            /**
             * @description Always `model.artifact`.
             * @example model.artifact
             */
            object: string;
            /**
             * Format: int64
             * @description The size in bytes.
             */
            bytes: number;
            /** @description SHA-256 of the content, in hexadecimal. */
            sha256: string;
        };
        /** @description An entry of the audit log. */
        AuditEvent: {
            /** @description Its place in the tenant's chain, as text: the cursor. */
            id: string;
            /**
             * @description Always `audit.event`.
             * @example audit.event
             */
            object: string;
            /**
             * Format: int64
             * @description When, in Unix seconds.
             */
            created_at: number;
            /**
             * Format: int64
             * @description The same in milliseconds, as it was hashed.
             */
            created_at_ms: number;
            /** @description Whose chain it belongs to. */
            tenant_id: components["schemas"]["TenantId"];
            /** @description Who: `key:<public part>`, `token:<subject>` or `system`. */
            actor: string;
            /** @description What. */
            action: string;
            /** @description To what. */
            target: string;
            /** @description More of it. */
            detail: Record<string, never>;
            /** @description The hash of the entry before it. */
            prev_hash: string;
            /** @description SHA-256 over that and this entry. */
            hash: string;
        };
        /** @description A line that cannot be trained on. */
        BadLine: {
            /**
             * Format: int64
             * @description Its number, from 1.
             */
            line: number;
            /** @description Machine-readable, such as `invalid_json`. */
            code: string;
            /** @description The place inside the line, such as `messages[1].role`; empty where it is the line itself. */
            field: string;
            /** @description A sentence for people. */
            message: string;
        };
        /** @description How an effective batch is cut to fit the memory. */
        Batching: {
            micro_batch_size?: "auto" | number;
            gradient_checkpointing?: "auto" | boolean;
        };
        /** @description What a checkpoint is beside a step of its job. */
        CheckpointExtension: {
            /** @description The stage that it is the end of. It is kept, however many are written after it. */
            stage: string;
        };
        /** @description A checkpoint of a job. */
        CheckpointId: string;
        /** @description OpenAI's seven figures of a checkpoint. The columns of the result file have the same names and definitions. */
        CheckpointMetrics: {
            /**
             * Format: int64
             * @description The optimizer step.
             * @default null
             */
            step?: number | null;
            /**
             * Format: double
             * @description Loss of this step's batch before its update.
             * @default null
             */
            train_loss?: number | null;
            /**
             * Format: double
             * @description Token accuracy of the same.
             * @default null
             */
            train_mean_token_accuracy?: number | null;
            /**
             * Format: double
             * @description The last validation loss up to this step.
             * @default null
             */
            valid_loss?: number | null;
            /**
             * Format: double
             * @description Token accuracy of the same.
             * @default null
             */
            valid_mean_token_accuracy?: number | null;
            /**
             * Format: double
             * @description Loss over the whole validation file at this step.
             * @default null
             */
            full_valid_loss?: number | null;
            /**
             * Format: double
             * @description Token accuracy over the whole validation file at this step.
             * @default null
             */
            full_valid_mean_token_accuracy?: number | null;
        };
        /** @description When checkpoints are written and how many are kept. */
        Checkpointing: {
            /**
             * Format: int64
             * @description A checkpoint every so many optimizer steps; null leaves it to the time.
             * @default null
             */
            every_steps?: number | null;
            /**
             * Format: int64
             * @description A checkpoint every so many seconds; null leaves it to the steps.
             * @default 300
             */
            every_seconds?: number | null;
            /**
             * Format: int32
             * @description How many of the newest are kept.
             * @default 3
             */
            keep?: number;
        };
        /**
         * @description How gradients are cut.
         * @enum {string}
         */
        Clipping: "flat" | "per_layer" | "automatic" | "adaptive";
        /** @description What a consumer of the adapter would make of it. */
        Compatibility: {
            /** @description `peft`, `vllm` or `llama.cpp`. */
            consumer: string;
            /** @description Whether it takes the adapter and applies it as it was trained. */
            accepted: boolean;
            /** @description What to set, or why it is refused. */
            notes: string[];
        };
        /** @description The request to make a file of the parts. */
        CompleteUpload: {
            /** @description The parts in the order of the file. */
            part_ids: string[];
            /** @description MD5 of the whole file in hexadecimal; where given, it must be right. */
            md5?: string | null;
        };
        /**
         * @description Trains one adapter through a stream of stages, one after the other, and reports what it forgot on the way. Where `model` is an earlier
         *     result, the job goes on from it: its stages come before this job's.
         */
        Continual: {
            /**
             * @description The stages in the order of the data; null makes one stage of the job's own two files. The first stage's training file is the
             *     job's `training_file`, and the job has no `validation_file` beside those of its stages.
             * @default null
             */
            stages?: components["schemas"]["NewStage"][] | null;
            /**
             * @description What is done against forgetting; none is to train on, stage after stage.
             * @default []
             */
            strategies?: components["schemas"]["Strategy"][];
            /**
             * @description A general file that is measured after every stage and never trained on.
             * @default null
             */
            held_out_file?: string | null;
            /**
             * Format: double
             * @description The most that the loss on an earlier stage may rise above its best, in nats: a stage that breaks it is rejected, and the adapter
             *     before it stays the result.
             * @default null
             */
            max_forgetting?: number | null;
            /**
             * Format: double
             * @description The same limit on the held-out file's loss.
             * @default null
             */
            max_held_out_fall?: number | null;
            /**
             * @description The order in which the stages are trained.
             * @default as_given
             */
            order?: components["schemas"]["StageOrder"];
        };
        /** @description Where a stream is. */
        ContinualProgress: {
            /**
             * Format: int64
             * @description The stage at hand, from 1, in the order of training.
             */
            stage: number;
            /**
             * Format: int64
             * @description Stages of the job.
             */
            stages: number;
            /** @description The stage's name. */
            name: string;
            /**
             * Format: int64
             * @description The job's steps before the stage.
             */
            first_step: number;
            /**
             * Format: int64
             * @description The stage's steps.
             */
            steps: number;
        };
        /** @description What came of the stages of a job. */
        ContinualResult: {
            /**
             * @description The stages that are over, in the order of training, those of earlier jobs first.
             * @default []
             */
            stages?: components["schemas"]["StageResult"][];
            /**
             * @description One matrix for each measure.
             * @default []
             */
            matrices?: components["schemas"]["Matrix"][];
        };
        /** @description The body of `POST /v1/fine_tuning/jobs`. */
        CreateJob: {
            /** @description The base model, by a name that `GET /v1/models` lists; or a fine-tuned model or checkpoint, by its name, which the job then goes on from. */
            model: string;
            /** @description The id of an uploaded JSONL file with purpose `fine-tune`. */
            training_file: string;
            /** @description The id of a file that is measured but not trained on. */
            validation_file?: string | null;
            /** @description Up to 64 characters that go into the name of the fine-tuned model. */
            suffix?: string | null;
            /**
             * Format: int64
             * @description Seed of everything random, 0 to 2147483647; drawn where left out.
             */
            seed?: number | null;
            /** @description Up to 16 pairs of the client's own; keys up to 64 characters, values up to 512. */
            metadata?: {
                [key: string]: string;
            } | null;
            hyperparameters?: components["schemas"]["Hyperparameters"] | null;
            method?: components["schemas"]["Method"] | null;
            /** @description Experiment trackers. Not available in this version: a non-empty list is refused. */
            integrations?: Record<string, never>[] | null;
            trainyard?: components["schemas"]["Extension"] | null;
        };
        /** @description A request to make a key. */
        CreateKey: {
            /** @description A name for people, 1 to 64 characters. */
            name: string;
            /** @description What it may do; all that a tenant can where left out. */
            scopes?: components["schemas"]["Scope"][] | null;
            /**
             * Format: int64
             * @description Seconds until it expires, 60 to 315360000; never where left out.
             */
            expires_in_seconds?: number | null;
        };
        /** @description A request to make a tenant. */
        CreateTenant: {
            /** @description A name for people, 1 to 64 characters. */
            name: string;
            /** @description What it may use; no limits where left out. */
            quota?: components["schemas"]["Quota"];
            /**
             * Format: int32
             * @description Its part of the devices where tenants compete for them, 1 to 1000; 1 where left out.
             * @default 1
             */
            weight?: number;
        };
        /** @description The request to begin an upload. */
        CreateUpload: {
            /** @description The name of the file. */
            filename: string;
            /**
             * @description Always `fine-tune`.
             * @example fine-tune
             */
            purpose: string;
            /**
             * Format: int64
             * @description The size of the file in bytes: 1 to 8,589,934,592.
             */
            bytes: number;
            /**
             * @description The MIME type of the file; lines are read as JSON whatever it says.
             * @example text/jsonl
             */
            mime_type: string;
            expires_after?: components["schemas"]["ExpiresAfter"] | null;
        };
        /** @description A request to make an endpoint. */
        CreateWebhook: {
            /** @description Where events are sent, by `https` on port 443, at most 2048 bytes. */
            url: string;
            /** @description Which events; all where null. */
            events?: components["schemas"]["EventType"][] | null;
            /** @description A text for people, at most 256 characters. */
            description?: string | null;
        };
        /** @description The answer to a deletion. */
        Deleted: {
            /** @description The id of what is gone. */
            id: string;
            /** @description What it was: `file` or `model`. */
            object: string;
            /** @description Always true. */
            deleted: boolean;
        };
        /** @description The answer to the deletion of a file. */
        DeletedFile: {
            /** @description The id of the file that is gone. */
            id: components["schemas"]["FileId"];
            /**
             * @description Always `file`.
             * @example file
             */
            object: string;
            /** @description Always true. */
            deleted: boolean;
            /** @description What Trainyard says beyond OpenAI's contract. */
            trainyard: components["schemas"]["FileDeletion"];
        };
        /** @description The answer to the deletion of a tenant. */
        DeletedTenant: {
            /** @description The id of the tenant that is gone. */
            id: components["schemas"]["TenantId"];
            /**
             * @description Always `tenant`.
             * @example tenant
             */
            object: string;
            /** @description Always true. */
            deleted: boolean;
            /** @description The receipt; it is read again with the operator's key. */
            erasure: components["schemas"]["ErasureReceipt"];
        };
        /** @description An event on its way to one endpoint. */
        DeliveryId: string;
        /**
         * @description How far a delivery is.
         * @enum {string}
         */
        DeliveryStatus: "pending" | "delivered" | "failed";
        /** @description DER++. */
        Derpp: {
            /**
             * Format: double
             * @description Remembered examples in a step, as a share of the batch, above 0 to 0.9.
             * @default 0.1
             */
            ratio?: number;
            /**
             * Format: int64
             * @description The most examples that are remembered, 1 to 100000: each carries its logits.
             * @default 1000
             */
            capacity?: number;
            /**
             * @description Which they are.
             * @default balanced_per_stage
             */
            policy?: components["schemas"]["MemoryPolicy"];
            /**
             * Format: double
             * @description Weight of the squared distance to the kept logits.
             * @default 0.5
             */
            alpha?: number;
            /**
             * Format: double
             * @description Weight of the remembered examples' own loss.
             * @default 0.5
             */
            beta?: number;
            /**
             * Format: int64
             * @description How many of a token's logits are kept, the highest, 1 to 256.
             * @default 16
             */
            top_k?: number;
        };
        /** @description When to stop before the last epoch. */
        EarlyStopping: {
            /**
             * Format: int32
             * @description Evaluations without an improvement after which the job stops.
             * @default 3
             */
            patience?: number;
            /**
             * Format: double
             * @description The least fall of the validation loss that counts as an improvement.
             * @default 0
             */
            min_delta?: number;
        };
        /** @description A moving average of the parameters. */
        Ema: {
            /**
             * Format: double
             * @description The share of the average that stays in a step, 0 to below 1.
             * @default 0.99
             */
            decay?: number;
        };
        /** @description The erasure of a file or tenant; its random part is theirs, so that each can be erased once. */
        ErasureId: string;
        /** @description What an erasure removed and what it kept. */
        ErasureReceipt: {
            /** @description The id; a repeat of the request has the same. */
            id: components["schemas"]["ErasureId"];
            /**
             * @description Always `erasure.receipt`.
             * @example erasure.receipt
             */
            object: string;
            /**
             * Format: int64
             * @description When it was asked for, in Unix seconds. From then on nobody can use what is erased.
             */
            created_at: number;
            /**
             * Format: int64
             * @description When the last of it was gone, in Unix seconds.
             */
            completed_at: number | null;
            /** @description Whether it has come to its end. One that has not goes on by itself. */
            status: components["schemas"]["ErasureStatus"];
            /** @description What was to be erased. */
            subject: components["schemas"]["ErasureSubject"];
            /** @description How many of each kind were removed. */
            counts: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description Bytes of all objects that were removed.
             */
            bytes: number;
            /** @description Each thing that was removed. */
            removed: components["schemas"]["Removed"][];
            /** @description What was not removed, and why. */
            kept: components["schemas"]["Kept"][];
        };
        /**
         * @description How far an erasure is.
         * @enum {string}
         */
        ErasureStatus: "in_progress" | "completed";
        /** @description What was to be erased. */
        ErasureSubject: {
            /** @description `file` or `tenant`. */
            type: string;
            /** @description Its id. */
            id: string;
        };
        /** @description The body of every error answer. */
        ErrorBody: {
            /** @description The error. */
            error: components["schemas"]["ErrorDetail"];
        };
        /** @description OpenAI's four keys; all are always there. */
        ErrorDetail: {
            /** @description A sentence for people, naming the field, the limit and the value seen. */
            message: string;
            /** @description The class of the error, such as `invalid_request_error`. */
            type: string;
            /** @description The field at fault, as a path such as `method.supervised.hyperparameters.batch_size`. */
            param: string | null;
            /** @description The machine-readable code. */
            code: string | null;
        };
        /** @description When the validation file is looked at. */
        Evaluation: {
            every_steps?: "auto" | number;
            /**
             * @description What is measured.
             * @default [
             *       "loss",
             *       "token_accuracy",
             *       "perplexity"
             *     ]
             */
            metrics?: components["schemas"]["Metric"][];
        };
        /** @description An event of a job. */
        EventId: string;
        /**
         * @description What an event carries.
         * @enum {string}
         */
        EventKind: "message" | "metrics";
        /**
         * @description How grave an event is.
         * @enum {string}
         */
        EventLevel: "info" | "warn" | "error";
        /**
         * @description What happened. There is one for each status that a job can come to.
         * @enum {string}
         */
        EventType: "fine_tuning.job.created" | "fine_tuning.job.validating_files" | "fine_tuning.job.queued" | "fine_tuning.job.running" | "fine_tuning.job.paused" | "fine_tuning.job.succeeded" | "fine_tuning.job.failed" | "fine_tuning.job.cancelled" | "webhook.ping";
        /** @description Elastic weight consolidation. */
        Ewc: {
            /**
             * Format: double
             * @description Weight of the penalty: lambda / 2 sum F (theta - theta*)^2.
             * @default 1000
             */
            lambda?: number;
            /**
             * @description One running Fisher information instead of one per stage.
             * @default false
             */
            online?: boolean;
            /**
             * Format: double
             * @description What the running one is multiplied by as a stage is added, 0 to 1; only with `online`.
             * @default 1
             */
            decay?: number;
            /**
             * Format: int64
             * @description Examples of a stage that its Fisher information is the mean over, at most; null takes all.
             * @default 256
             */
            samples?: number | null;
        };
        /** @description When a file is deleted by itself. */
        ExpiresAfter: {
            /**
             * @description Always `created_at`.
             * @example created_at
             */
            anchor: string;
            /**
             * Format: int64
             * @description Seconds after that: 3,600 to 2,592,000.
             */
            seconds: number;
        };
        /** @description Trainyard's own settings of a create request. */
        Extension: {
            /**
             * @description What is trained on top of the frozen base.
             * @default {
             *       "type": "lora",
             *       "rank": 16,
             *       "alpha": 32,
             *       "dropout": 0,
             *       "target_modules": "all-linear",
             *       "rslora": false
             *     }
             */
            adapter?: components["schemas"]["Adapter"];
            /**
             * @description The optimizer.
             * @default {
             *       "type": "adamw",
             *       "learning_rate": null,
             *       "betas": [
             *         0.9,
             *         0.999
             *       ],
             *       "eps": 1e-8,
             *       "weight_decay": 0,
             *       "max_grad_norm": 1
             *     }
             */
            optimizer?: components["schemas"]["Optimizer"];
            /**
             * @description The course of the learning rate.
             * @default {
             *       "type": "cosine",
             *       "warmup_ratio": 0.03,
             *       "min_ratio": 0
             *     }
             */
            schedule?: components["schemas"]["Schedule"];
            precision?: "auto" | ("fp32" | "bf16" | "fp16");
            /**
             * @description How examples become rows of tokens.
             * @default {
             *       "max_length": 1024,
             *       "packing": "auto",
             *       "overlong": "truncate"
             *     }
             */
            sequence?: components["schemas"]["Sequence"];
            /**
             * @description How an effective batch is cut to fit the memory.
             * @default {
             *       "micro_batch_size": "auto",
             *       "gradient_checkpointing": "auto"
             *     }
             */
            batching?: components["schemas"]["Batching"];
            /**
             * @description When checkpoints are written and how many are kept.
             * @default {
             *       "every_steps": null,
             *       "every_seconds": 300,
             *       "keep": 3
             *     }
             */
            checkpoint?: components["schemas"]["Checkpointing"];
            /**
             * @description When the validation file is looked at.
             * @default {
             *       "every_steps": "auto",
             *       "metrics": [
             *         "loss",
             *         "token_accuracy",
             *         "perplexity"
             *       ]
             *     }
             */
            evaluation?: components["schemas"]["Evaluation"];
            /** @default null */
            early_stopping?: components["schemas"]["EarlyStopping"] | null;
            /** @description Data cleaning. Not available in this version: anything but null is refused. */
            data?: Record<string, never> | null;
            /** @default null */
            privacy?: components["schemas"]["Privacy"] | null;
            /** @default null */
            continual?: components["schemas"]["Continual"] | null;
            /**
             * @description What the job may use.
             * @default {
             *       "pool": "default",
             *       "devices": 1,
             *       "priority": "normal",
             *       "preemptible": true,
             *       "max_runtime_seconds": 86400
             *     }
             */
            resources?: components["schemas"]["Resources"];
            /** @default null */
            webhook?: components["schemas"]["NewJobWebhook"] | null;
        };
        /** @description A file. */
        File: {
            /** @description The id. */
            id: components["schemas"]["FileId"];
            /**
             * @description Always `file`.
             * @example file
             */
            object: string;
            /**
             * Format: int64
             * @description The size in bytes.
             */
            bytes: number;
            /**
             * Format: int64
             * @description When it was uploaded, in Unix seconds.
             */
            created_at: number;
            /**
             * Format: int64
             * @description When it is deleted by itself, in Unix seconds; null for never.
             */
            expires_at: number | null;
            /** @description The name it was uploaded under. */
            filename: string;
            /** @description What it is for. */
            purpose: components["schemas"]["Purpose"];
            /**
             * @description Always `processed`: deprecated in OpenAI's contract.
             * @example processed
             */
            status: string;
            /** @description Always null: deprecated in OpenAI's contract. */
            status_details: string | null;
        };
        /** @description What was made of a deleted file, and what became of that. */
        FileDeletion: {
            /** @description What was trained on the file or measured with it. Without `cascade` it is still there. */
            trained: components["schemas"]["Trained"];
            erasure: components["schemas"]["ErasureReceipt"] | null;
        };
        /** @description An uploaded or produced file. */
        FileId: string;
        /** @description What was spent of a file's privacy, over all jobs on the same content, whatever their files are called. */
        FilePrivacy: {
            /**
             * @description Always `file.privacy`.
             * @example file.privacy
             */
            object: string;
            /** @description The file. */
            file: components["schemas"]["FileId"];
            /** @description SHA-256 of its content, in hexadecimal: another file with the same content has the same budget. */
            sha256: string;
            unit: components["schemas"]["PrivacyUnit"] | null;
            /**
             * Format: int64
             * @description How many of them the file has.
             */
            units: number | null;
            accountant: components["schemas"]["PrivacyAccountant"] | null;
            budget: components["schemas"]["PrivacyBudget"] | null;
            /**
             * Format: double
             * @description Epsilon of every step that a job ran or may have run.
             */
            spent_epsilon: number;
            /**
             * Format: double
             * @description The budget's epsilon less that; null where no budget was set. Epsilons do not add up: a job may fit whose own is larger.
             */
            remaining_epsilon: number | null;
            /**
             * Format: double
             * @description The delta at which epsilon was counted.
             */
            delta: number | null;
            /** @description Every run that drew on it, in the order in which they began. */
            jobs: components["schemas"]["FilePrivacyRun"][];
        };
        /** @description One run of a job, as it was charged. */
        FilePrivacyRun: {
            /** @description The job. */
            job: components["schemas"]["JobId"];
            /**
             * Format: int64
             * @description Which of its attempts.
             */
            epoch: number;
            /**
             * Format: double
             * @description Standard deviation of its noise over the limit on a unit's gradient.
             */
            noise_multiplier: number;
            /**
             * Format: double
             * @description The probability with which a unit took part in a step.
             */
            sampling_rate: number;
            /**
             * Format: int64
             * @description Steps that it was given before they ran.
             */
            steps_reserved: number;
            /**
             * Format: int64
             * @description Steps that a checkpoint carries.
             */
            steps_committed: number;
            /**
             * Format: int64
             * @description Steps that count: all that were reserved, but for a run that ended in order and gave back what it did not use.
             */
            steps_charged: number;
            /** @description Where the run stands. */
            state: components["schemas"]["FilePrivacyState"];
        };
        /**
         * @description Where a run stands.
         * @enum {string}
         */
        FilePrivacyState: "open" | "settled" | "crashed";
        /** @description The answer of a probe. */
        Health: {
            /**
             * @description Always `ok`.
             * @example ok
             */
            status: string;
        };
        /** @description OpenAI's three hyperparameters; `"auto"` lets the server choose from the data. */
        Hyperparameters: {
            batch_size?: "auto" | number;
            learning_rate_multiplier?: "auto" | number;
            n_epochs?: "auto" | number;
        };
        /** @description A fine-tuning job. */
        Job: {
            /** @description The id. */
            id: components["schemas"]["JobId"];
            /**
             * @description Always `fine_tuning.job`.
             * @example fine_tuning.job
             */
            object: string;
            /**
             * Format: int64
             * @description When the job was made, in Unix seconds.
             */
            created_at: number;
            error: components["schemas"]["JobError"] | null;
            /** @description The name of the result; null until the job has succeeded. */
            fine_tuned_model: string | null;
            /**
             * Format: int64
             * @description When the job ended, in Unix seconds.
             */
            finished_at: number | null;
            /** @description The hyperparameters in use. */
            hyperparameters: components["schemas"]["Hyperparameters"];
            /** @description The base model, or the earlier result that the job goes on from. */
            model: string;
            /** @description The tenant. */
            organization_id: string;
            /** @description The ids of the result CSV files. */
            result_files: components["schemas"]["FileId"][];
            /** @description The state. */
            status: components["schemas"]["JobStatus"];
            /**
             * Format: int64
             * @description Tokens trained on, all epochs together; null until the job has ended.
             */
            trained_tokens: number | null;
            /** @description The training file. */
            training_file: components["schemas"]["FileId"];
            validation_file: components["schemas"]["FileId"] | null;
            /**
             * Format: int64
             * @description The seed in use.
             */
            seed: number;
            /**
             * Format: int64
             * @description When the job is expected to end, in Unix seconds; null while that is not known.
             */
            estimated_finish: number | null;
            /** @description The method, with the hyperparameters in use. */
            method: components["schemas"]["Method"];
            /** @description The client's own pairs. */
            metadata: {
                [key: string]: string;
            } | null;
            /** @description Always empty in this version. */
            integrations: Record<string, never>[];
            /** @description Trainyard's own settings, resolved, with progress and result. */
            trainyard: components["schemas"]["JobExtension"];
        };
        /** @description A checkpoint of a job. */
        JobCheckpoint: {
            /** @description The id. */
            id: components["schemas"]["CheckpointId"];
            /**
             * @description Always `fine_tuning.job.checkpoint`.
             * @example fine_tuning.job.checkpoint
             */
            object: string;
            /**
             * Format: int64
             * @description When, in Unix seconds.
             */
            created_at: number;
            /** @description The name of the checkpoint as a model. */
            fine_tuned_model_checkpoint: string;
            /** @description The job. */
            fine_tuning_job_id: components["schemas"]["JobId"];
            /**
             * Format: int64
             * @description The optimizer step after which it was written.
             */
            step_number: number;
            /** @description The figures at that step. */
            metrics: components["schemas"]["CheckpointMetrics"];
            trainyard?: components["schemas"]["CheckpointExtension"] | null;
        };
        /** @description The continual learning of a job as it is carried out. */
        JobContinual: {
            /** @description The stages of this job, as given. */
            stages: components["schemas"]["NewStage"][];
            /** @description Those of the models that it goes on from, the first first. */
            earlier_stages: string[];
            /** @description What is done against forgetting. */
            strategies: components["schemas"]["Strategy"][];
            /** @description The general file. */
            held_out_file?: string | null;
            /**
             * Format: double
             * @description The limit on forgetting, in nats.
             */
            max_forgetting?: number | null;
            /**
             * Format: double
             * @description The limit on the held-out file.
             */
            max_held_out_fall?: number | null;
            /** @description The order of the stages. */
            order: components["schemas"]["StageOrder"];
        };
        /** @description That what a job made was erased. */
        JobErasure: {
            /** @description The erasure. */
            id: components["schemas"]["ErasureId"];
            /**
             * Format: int64
             * @description When, in Unix seconds.
             */
            at: number;
        };
        /** @description Why a job failed. */
        JobError: {
            /**
             * @description Machine-readable; the document's table of job errors has them all, with who can mend each.
             * @example invalid_training_file
             */
            code: string;
            /** @description A sentence for people. */
            message: string;
            /** @description The field or the place in a file at fault. */
            param: string | null;
        };
        /** @description An entry of a job's history. */
        JobEvent: {
            /** @description The id. */
            id: components["schemas"]["EventId"];
            /**
             * @description Always `fine_tuning.job.event`.
             * @example fine_tuning.job.event
             */
            object: string;
            /**
             * Format: int64
             * @description When, in Unix seconds.
             */
            created_at: number;
            /** @description How grave. */
            level: components["schemas"]["EventLevel"];
            /** @description A sentence for people. */
            message: string;
            /** @description Whether `data` carries metrics of a step. */
            type: components["schemas"]["EventKind"];
            /** @description The figures behind the message; empty where there are none. */
            data: Record<string, never>;
        };
        /** @description The same settings as the job carries them out, every `"auto"` resolved, with progress and result. */
        JobExtension: {
            /** @description The settings, resolved. */
            adapter: components["schemas"]["Adapter"];
            /** @description The optimizer; `learning_rate` is the peak rate in use. */
            optimizer: components["schemas"]["Optimizer"];
            /** @description The course of the learning rate. */
            schedule: components["schemas"]["Schedule"];
            precision: "auto" | ("fp32" | "bf16" | "fp16");
            /** @description How examples become rows. */
            sequence: components["schemas"]["Sequence"];
            /** @description How the effective batch is cut. */
            batching: components["schemas"]["Batching"];
            /** @description When checkpoints are written. */
            checkpoint: components["schemas"]["Checkpointing"];
            /** @description When the validation file is looked at. */
            evaluation: components["schemas"]["Evaluation"];
            early_stopping?: components["schemas"]["EarlyStopping"] | null;
            /** @description Always null in this version. */
            data?: Record<string, never> | null;
            privacy?: components["schemas"]["JobPrivacy"] | null;
            continual?: components["schemas"]["JobContinual"] | null;
            /** @description What the job may use. */
            resources: components["schemas"]["Resources"];
            webhook?: components["schemas"]["JobWebhook"] | null;
            /** @description How far the job is. */
            progress: components["schemas"]["Progress"];
            result?: components["schemas"]["JobResult"] | null;
            erased?: components["schemas"]["JobErasure"] | null;
        };
        /** @description A fine-tuning job. */
        JobId: string;
        /** @description The privacy of a job as it is carried out. */
        JobPrivacy: {
            /**
             * Format: double
             * @description The most epsilon that the job may spend: a run that was repeated after a crash stops before it.
             */
            target_epsilon: number;
            /**
             * Format: double
             * @description The noise in use.
             */
            noise_multiplier: number;
            /**
             * Format: double
             * @description The delta in use.
             */
            delta: number;
            /**
             * Format: double
             * @description The limit on a unit's gradient.
             */
            clip_norm: number;
            /** @description How gradients are cut. */
            clipping: components["schemas"]["Clipping"];
            /** @description Whom the guarantee protects. */
            unit: components["schemas"]["PrivacyUnit"];
            /** @description How epsilon is counted. */
            accountant: components["schemas"]["PrivacyAccountant"];
            /**
             * Format: int64
             * @description Units in the training file.
             */
            units: number;
            /**
             * Format: double
             * @description The probability with which a unit takes part in a step.
             */
            sampling_rate: number;
            /**
             * Format: int64
             * @description Steps planned.
             */
            steps: number;
            /**
             * Format: double
             * @description Epsilon once all of them have run, each of them once.
             */
            expected_epsilon: number;
            /** @description What the guarantee does not cover. */
            not_covered: string[];
        };
        /** @description What came out of a job that succeeded. */
        JobResult: {
            /**
             * Format: double
             * @description Mean training loss over the last epoch's steps.
             * @default null
             */
            train_loss?: number | null;
            /**
             * Format: double
             * @description Validation loss before the first step.
             * @default null
             */
            initial_valid_loss?: number | null;
            /**
             * Format: double
             * @description Validation loss of the adapter that is handed back, over the whole validation file.
             * @default null
             */
            valid_loss?: number | null;
            /**
             * Format: double
             * @description Validation token accuracy of the same.
             * @default null
             */
            valid_mean_token_accuracy?: number | null;
            /**
             * Format: int64
             * @description Optimizer steps taken.
             * @default 0
             */
            steps?: number;
            /**
             * @description Whether early stopping ended the job.
             * @default false
             */
            stopped_early?: boolean;
            /**
             * Format: int64
             * @description Tokens that the loss was taken over, all epochs together.
             * @default 0
             */
            target_tokens?: number;
            /**
             * Format: int64
             * @description Parameters that were trained.
             * @default 0
             */
            trainable_parameters?: number;
            /**
             * Format: int64
             * @description Rows of a micro-batch at the end: fewer than `batching.micro_batch_size` where memory ran out. Null where an older version
             *     trained it.
             * @default null
             */
            micro_batch_size?: number | null;
            /**
             * Format: double
             * @description Seconds of training, all attempts together.
             * @default 0
             */
            training_seconds?: number;
            /**
             * @description SHA-256 of the training file.
             * @default null
             */
            training_data_sha256?: string | null;
            /**
             * @description SHA-256 of the weights that were trained: of `adapter_model.safetensors`, of a head `head.safetensors`, of all weights `model.safetensors`.
             * @default null
             */
            adapter_sha256?: string | null;
            /** @default null */
            privacy?: components["schemas"]["PrivacySpent"] | null;
            /**
             * Format: double
             * @description How much louder than the noise the private gradients were: the mean over all steps of signal over noise, in squared norms. Worked
             *     out from what was released with noise, so it costs nothing. Null where the job is not private.
             * @default null
             */
            signal_to_noise?: number | null;
            /** @default null */
            continual?: components["schemas"]["ContinualResult"] | null;
            /**
             * @description What happened to the rows of the data, by name: truncated, rejected and so on.
             * @default {}
             */
            data_report?: {
                [key: string]: number;
            };
        };
        /**
         * @description The states of a job.
         * @enum {string}
         */
        JobStatus: "validating_files" | "queued" | "running" | "paused" | "succeeded" | "failed" | "cancelled";
        /** @description An endpoint of one job, as the job shows it. */
        JobWebhook: {
            /** @description Where events are sent. */
            url: string;
            /** @description Which events; all where null. */
            events: components["schemas"]["EventType"][] | null;
        };
        /** @description Joint training. */
        Joint: Record<string, never>;
        /** @description A thing that was kept. */
        Kept: {
            /** @description What it is. */
            type: components["schemas"]["KeptKind"];
            /** @description Its id, where it has one. */
            id: string | null;
            /** @description Why, and what is in it. */
            reason: string;
        };
        /**
         * @description What kind of thing was kept.
         * @enum {string}
         */
        KeptKind: "job_record" | "same_content" | "privacy_ledger" | "audit_log" | "usage" | "backups" | "server_log";
        /** @description What came of a file. */
        Lineage: {
            /** @description The file. */
            id: components["schemas"]["FileId"];
            /**
             * @description Always `file.lineage`.
             * @example file.lineage
             */
            object: string;
            /** @description SHA-256 of its content, in hexadecimal; null where the file was deleted before. */
            sha256: string | null;
            /** @description Jobs that read it, newest first, the newest 1000 at most. */
            jobs: components["schemas"]["LineageJob"][];
            /** @description Models that those jobs made. */
            models: components["schemas"]["LineageModel"][];
            /** @description Their checkpoints. */
            checkpoints: components["schemas"]["LineageCheckpoint"][];
            /** @description Their result files. */
            result_files: components["schemas"]["LineageFile"][];
            /** @description Other files of the tenant with the same content: erasing this one leaves them. */
            same_content: components["schemas"]["FileId"][];
            /** @description Whether there are more jobs than are shown. */
            has_more: boolean;
        };
        /** @description A checkpoint that came of the file. */
        LineageCheckpoint: {
            /** @description The id. */
            id: components["schemas"]["CheckpointId"];
            /** @description Its name as a model. */
            model: string;
            /** @description The job that wrote it. */
            job_id: components["schemas"]["JobId"];
        };
        /**
         * @description How a thing came of another.
         * @enum {string}
         */
        LineageEdgeKind: "made_by" | "continues" | "trained_on" | "validated_on";
        /** @description A result file that came of the file. */
        LineageFile: {
            /** @description The id. */
            id: components["schemas"]["FileId"];
            /** @description The job that made it. */
            job_id: components["schemas"]["JobId"];
        };
        /** @description A job that read the file. */
        LineageJob: {
            /** @description The job. */
            id: components["schemas"]["JobId"];
            /** @description Its state. */
            status: components["schemas"]["JobStatus"];
            /** @description Whether it trained on the file. */
            trained: boolean;
            /** @description Whether it measured with the file. */
            validated: boolean;
            erasure_id: components["schemas"]["ErasureId"] | null;
        };
        /** @description A model that came of the file. */
        LineageModel: {
            /** @description The name. */
            id: string;
            /** @description The job that made it. */
            job_id: components["schemas"]["JobId"];
        };
        /**
         * @description What a thing in a lineage is.
         * @enum {string}
         */
        LineageNodeKind: "model" | "job" | "dataset";
        /** @description Where a content can be fetched without a key for a while: whoever has the link has the content. */
        Link: {
            /**
             * @description Always `link`.
             * @example link
             */
            object: string;
            /** @description The URL, for GET and ranges of it. */
            url: string;
            /**
             * Format: int64
             * @description When it ends to work, in Unix seconds.
             */
            expires_at: number;
            /** @description The content's name. */
            filename: string;
            /**
             * Format: int64
             * @description The content's size in bytes.
             */
            bytes: number;
            /** @description SHA-256 of the content, in hexadecimal. */
            sha256: string;
        };
        /** @description Learning without forgetting. */
        Lwf: {
            /**
             * Format: double
             * @description Weight of the divergence from the teacher.
             * @default 1
             */
            alpha?: number;
            /**
             * Format: double
             * @description What both sides' logits are divided by.
             * @default 2
             */
            temperature?: number;
        };
        /** @description The scores on every stage after every stage, and what is read off them. */
        Matrix: {
            /**
             * @description The measure: `loss` in nats, `token_accuracy` or `perplexity`. A perplexity above 1e12 is given as 1e12; the matrix of the loss is
             *     always there and has no such limit.
             */
            metric: string;
            /** @description Which way it is better. */
            higher_is_better: boolean;
            /** @description The names of the columns, in the order of training. */
            stages: string[];
            /** @description What was trained last before each row: a stage, or `joint` where all of them were trained at once. */
            after?: string[];
            /** @description The untrained model. */
            base: components["schemas"]["MatrixRow"];
            /**
             * @description The adapter after each stage so far. What the adapters of earlier jobs but the last would score on this job's stages is not
             *     known: the base model's value stands there, so that it counts neither as learned nor as forgotten.
             */
            rows: components["schemas"]["MatrixRow"][];
            /**
             * Format: double
             * @description The mean of the last row, turned like the figures below so that higher is better: of a loss it is negated.
             */
            average?: number | null;
            /**
             * Format: double
             * @description How much the stages after a stage changed what it had learned, on average: below 0 they undid some of it.
             */
            backward_transfer?: number | null;
            /**
             * Format: double
             * @description How much better a stage was before it was trained than with the untrained model, on average.
             */
            forward_transfer?: number | null;
            /**
             * Format: double
             * @description How far earlier stages are below their best, on average.
             */
            forgetting?: number | null;
        };
        /** @description A row of a matrix. */
        MatrixRow: {
            /** @description One value for each stage. */
            stages: number[];
            /**
             * Format: double
             * @description The value on the held-out file.
             */
            held_out?: number | null;
        };
        /** @description What the job needs of memory, estimated from above. */
        MemoryFit: {
            /** @description Whether the estimate is within the limit. */
            fits: boolean;
            /**
             * Format: int64
             * @description Bytes in all.
             */
            estimated_bytes: number;
            /**
             * Format: int64
             * @description Bytes that a job of the pool may use.
             */
            limit_bytes: number;
            /** @description The parts by name: weights, adapter, activations, loss, engine. */
            parts: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description The largest `trainyard.batching.micro_batch_size` that fits with the other settings as they are; null where none does.
             */
            largest_micro_batch_size: number | null;
        };
        /**
         * @description Which examples are remembered.
         * @enum {string}
         */
        MemoryPolicy: "reservoir" | "balanced_per_stage";
        /** @description A weighted sum of the stages' adapters. Its rank is the sum of their ranks. */
        Merge: {
            /**
             * @description A weight for each stage of the job, other than 0; null gives each 1 / stages.
             * @default null
             */
            weights?: number[] | null;
        };
        /** @description The training method of a job. */
        Method: {
            /** @description Which of the methods. */
            type: components["schemas"]["MethodKind"];
            supervised?: components["schemas"]["Supervised"] | null;
            /** @description Settings of direct preference optimisation. Not available in this version. */
            dpo?: Record<string, never> | null;
            /** @description Settings of reinforcement fine-tuning. Not available in this version. */
            reinforcement?: Record<string, never> | null;
        };
        /**
         * @description OpenAI's methods. This version carries out `supervised` and refuses the others by name.
         * @enum {string}
         */
        MethodKind: "supervised" | "dpo" | "reinforcement";
        /**
         * @description The metrics.
         * @enum {string}
         */
        Metric: "loss" | "token_accuracy" | "perplexity";
        /** @description A model: a base to train from, or the result of a job. */
        Model: {
            /** @description The name: of a base model as registered, of a result `ft:{base}:{organization}:{suffix}:{id}`. */
            id: string;
            /**
             * @description Always `model`.
             * @example model
             */
            object: string;
            /**
             * Format: int64
             * @description When it was made, in Unix seconds.
             */
            created: number;
            /** @description `system` for base models, else the tenant. */
            owned_by: string;
        };
        /** @description What a model came of, and what came of it: a graph of models, jobs and datasets. */
        ModelLineage: {
            /** @description The model's name. */
            id: string;
            /**
             * @description Always `model.lineage`.
             * @example model.lineage
             */
            object: string;
            /** @description Models, jobs and datasets, each once, the nearest to the model first; 1000 at most. */
            nodes: components["schemas"]["ModelLineageNode"][];
            /** @description How they hang together. */
            edges: components["schemas"]["ModelLineageEdge"][];
            /** @description Whether there are more nodes than are shown. */
            truncated: boolean;
        };
        /** @description How a thing in a lineage came of another. */
        ModelLineageEdge: {
            /** @description How. */
            type: components["schemas"]["LineageEdgeKind"];
            /** @description What came of the other. */
            from: string;
            /** @description What it came of. */
            to: string;
        };
        /** @description A thing in a lineage. */
        ModelLineageNode: {
            /** @description What it is. */
            type: components["schemas"]["LineageNodeKind"];
            /** @description The name of a model, the id of a job or of a file. */
            id: string;
            /** @description Whether it is still there. */
            present: boolean;
            status: components["schemas"]["JobStatus"] | null;
        };
        /**
         * @description Units that need no settings.
         * @enum {string}
         */
        NamedUnit: "example";
        /** @description An endpoint of one job, in the request that makes the job. */
        NewJobWebhook: {
            /** @description Where events are sent, by `https`. */
            url: string;
            /** @description What they are signed with: `whsec_` and the base64 of 24 to 64 random bytes. It is never shown again. */
            secret: components["schemas"]["SigningSecret"];
            /** @description Which events; all where null. */
            events?: components["schemas"]["EventType"][] | null;
        };
        /** @description A budget that is to be set. */
        NewPrivacyBudget: {
            /**
             * Format: double
             * @description The bound on the privacy loss: 0.001 to 1000.
             */
            epsilon: number;
            delta?: "auto" | number;
        };
        /** @description A stage of a stream. */
        NewStage: {
            /** @description Its name, one of its own: 1 to 128 characters. */
            name: string;
            /** @description The file that it trains on. */
            training_file: string;
            /**
             * @description The file that it is measured with, after every stage. Null is taken only where the job has one stage, no limit and an earlier
             *     result to go on from: it is then not measured.
             */
            validation_file?: string | null;
        };
        /** @description O-LoRA. The result's rank is the sum of its stages' ranks. */
        OLora: {
            /**
             * Format: double
             * @description Weight of the sum of absolute products of earlier and new rows of A.
             * @default 0.5
             */
            orthogonality?: number;
            /**
             * Format: double
             * @description Weight of the new adapter's norms.
             * @default 0
             */
            norm?: number;
        };
        /** @description The optimizer of the adapter's parameters. */
        Optimizer: {
            /**
             * @description Which one.
             * @default adamw
             */
            type?: components["schemas"]["OptimizerKind"];
            /**
             * Format: double
             * @description Peak learning rate. Null takes the adapter's default times `learning_rate_multiplier`.
             * @default null
             */
            learning_rate?: number | null;
            /**
             * @description Decay rates of the first and second moment.
             * @default [
             *       0.9,
             *       0.999
             *     ]
             */
            betas?: number[];
            /**
             * Format: double
             * @description Added to the root of the second moment.
             * @default 1e-8
             */
            eps?: number;
            /**
             * Format: double
             * @description Decoupled weight decay.
             * @default 0
             */
            weight_decay?: number;
            /**
             * Format: double
             * @description Gradients are scaled down to this global norm; null leaves them.
             * @default 1
             */
            max_grad_norm?: number | null;
        };
        /**
         * @description The optimizers.
         * @enum {string}
         */
        OptimizerKind: "adamw";
        /**
         * @description The order of a list by creation time.
         * @enum {string}
         */
        Order: "asc" | "desc";
        /**
         * @description What happens to an example with more than `max_length` tokens.
         * @enum {string}
         */
        Overlong: "truncate" | "split" | "reject";
        /** @description A part of an upload. */
        PartId: string;
        /** @description What a create request would come to. Nothing is stored of it. */
        Preflight: {
            /**
             * @description Always `fine_tuning.preflight`.
             * @example fine_tuning.preflight
             */
            object: string;
            /** @description Whether the job would be taken and get past `validating_files`. */
            valid: boolean;
            /** @description The base model, or the earlier result that the job goes on from. */
            model: string;
            /**
             * Format: int64
             * @description The seed that would be used; drawn anew each time where the request names none.
             */
            seed: number;
            /** @description The method, every `"auto"` resolved. */
            method: components["schemas"]["Method"];
            /** @description Trainyard's own settings, every `"auto"` resolved. */
            trainyard: components["schemas"]["JobExtension"];
            /** @description The files: training first. */
            files: components["schemas"]["PreflightFile"][];
            /**
             * Format: int64
             * @description Optimizer steps; exact where `token_counts` is null, else an estimate from the number of lines.
             */
            total_steps: number;
            /**
             * Format: int64
             * @description Tokens that would go through the model, all epochs together; null where they could not be counted.
             */
            total_tokens: number | null;
            /** @description Why tokens could not be counted; null where they were. */
            token_counts: string | null;
            /** @description Whether it fits the memory. */
            memory: components["schemas"]["MemoryFit"];
            time: components["schemas"]["TimeEstimate"] | null;
            /** @description Where it would stand in the queue. */
            queue: components["schemas"]["QueuePlace"];
            /** @description What consumers of the adapter would make of it. */
            compatibility: components["schemas"]["Compatibility"][];
            privacy: components["schemas"]["PrivacyForecast"] | null;
        };
        /** @description A file of the request. */
        PreflightFile: {
            /** @description The field that names it: `training_file`, `validation_file`, or one of `trainyard.continual`. */
            param: string;
            /** @description The file. */
            id: components["schemas"]["FileId"];
            /** @description The name it was uploaded under. */
            filename: string;
            /**
             * Format: int64
             * @description Lines, blank ones included.
             */
            lines: number;
            /**
             * Format: int64
             * @description Lines that are examples.
             */
            examples: number;
            /**
             * Format: int64
             * @description Blank lines, passed over.
             */
            blank_lines: number;
            /** @description Lines that cannot be trained on, the first 10000 of them with number and code. */
            errors: components["schemas"]["BadLine"][];
            /**
             * Format: int64
             * @description Bad lines in all.
             */
            error_count: number;
            /** @description What would become of the rows, by name, such as `rows`, `target_tokens`, `truncated` and `rejected`. Null where tokens could not be counted. */
            data_report: {
                [key: string]: number;
            } | null;
        };
        /**
         * @description The priorities.
         * @enum {string}
         */
        Priority: "low" | "normal" | "high";
        /**
         * @description Makes a job differentially private. Give `target_epsilon` and the noise is chosen for it, or give `noise_multiplier` and epsilon
         *     follows from it.
         *
         *     The guarantee is (epsilon, delta) for data sets that differ by one unit added or removed. Every step draws each unit on its own with
         *     the same probability, cuts its gradient to a limit, and adds noise to the sum.
         */
        Privacy: {
            /**
             * Format: double
             * @description The most epsilon that the job may spend; 0.001 to 1000.
             * @default null
             */
            target_epsilon?: number | null;
            /**
             * Format: double
             * @description Standard deviation of the noise over the limit on a unit's gradient; 0.01 to 1000000.
             * @default null
             */
            noise_multiplier?: number | null;
            delta?: "auto" | number;
            /**
             * Format: double
             * @description The limit on the L2 norm of a unit's gradient: where `clipping` is `adaptive`, that of the first step.
             * @default 1
             */
            clip_norm?: number;
            /**
             * @description How gradients are cut.
             * @default flat
             */
            clipping?: components["schemas"]["Clipping"];
            /**
             * @description Whom the guarantee protects.
             * @default example
             */
            unit?: components["schemas"]["PrivacyUnit"];
            /**
             * @description How epsilon is counted.
             * @default prv
             */
            accountant?: components["schemas"]["PrivacyAccountant"];
        };
        /**
         * @description How epsilon is counted.
         * @enum {string}
         */
        PrivacyAccountant: "prv" | "rdp";
        /** @description An (epsilon, delta) guarantee. */
        PrivacyBudget: {
            /**
             * Format: double
             * @description The bound on the privacy loss.
             */
            epsilon: number;
            /**
             * Format: double
             * @description The probability by which it may fail.
             */
            delta: number;
        };
        /** @description What a private job would cost its training file. */
        PrivacyForecast: {
            /**
             * Format: double
             * @description Epsilon that earlier jobs on the same content spent.
             */
            spent_before: number;
            budget: components["schemas"]["PrivacyBudget"] | null;
            /**
             * Format: double
             * @description The budget's epsilon less what was spent; null where no budget was set.
             */
            remaining: number | null;
            /** @description Whether all steps of the job fit now: a job that does not fit is refused. */
            fits: boolean;
            /** @description The file's epsilon as the job goes on, in ten equal parts. By Rényi orders, so a little above what is charged by `prv`. */
            forecast: components["schemas"]["PrivacyForecastPoint"][];
            /** @description What the guarantee does not cover. */
            not_covered: string[];
        };
        /** @description A point of a forecast. */
        PrivacyForecastPoint: {
            /**
             * Format: int64
             * @description Steps of the job done by then.
             */
            step: number;
            /**
             * Format: double
             * @description Epsilon of everything up to there.
             */
            epsilon: number;
        };
        /** @description What a private job has spent. */
        PrivacySpent: {
            /**
             * Format: double
             * @description Epsilon of every step that the job ran or may have run.
             */
            epsilon: number;
            /**
             * Format: double
             * @description At this delta.
             */
            delta: number;
            /**
             * Format: int64
             * @description Those steps: more than the job's own where some were repeated after a crash.
             */
            steps: number;
        };
        /** @description Whom the guarantee protects. */
        PrivacyUnit: components["schemas"]["NamedUnit"] | components["schemas"]["UserUnit"];
        /** @description How far a job is. */
        Progress: {
            /**
             * Format: int64
             * @description Optimizer steps done.
             * @default 0
             */
            step?: number;
            /**
             * Format: int64
             * @description Optimizer steps in all, once the data has been read.
             * @default null
             */
            total_steps?: number | null;
            /**
             * Format: int64
             * @description Tokens that went through the model while training.
             * @default 0
             */
            tokens?: number;
            /**
             * Format: double
             * @description Tokens a second over the last steps.
             * @default null
             */
            tokens_per_second?: number | null;
            /**
             * Format: double
             * @description Seconds until the job ends, as far as the last steps tell.
             * @default null
             */
            eta_seconds?: number | null;
            /**
             * Format: double
             * @description Loss of the last step.
             * @default null
             */
            train_loss?: number | null;
            /**
             * Format: double
             * @description The last validation loss.
             * @default null
             */
            valid_loss?: number | null;
            /**
             * Format: int64
             * @description Place in the queue, 1 being the next to run.
             * @default null
             */
            queue_position?: number | null;
            /**
             * @description Why the job does not run yet.
             * @default null
             */
            waiting_reason?: string | null;
            /**
             * Format: int64
             * @description When the job is likely to start, in Unix seconds: from what running jobs say of their end and how long their tenants' jobs ran
             *     before. Null where that is not known, and where the job does not wait for devices.
             * @default null
             */
            estimated_start_at?: number | null;
            /**
             * Format: int64
             * @description Attempts to run the job so far.
             * @default 0
             */
            attempts?: number;
            /** @default null */
            privacy?: components["schemas"]["PrivacySpent"] | null;
            /** @default null */
            continual?: components["schemas"]["ContinualProgress"] | null;
        };
        /**
         * @description What a file is for.
         * @enum {string}
         */
        Purpose: "fine-tune" | "fine-tune-results";
        /** @description Where the job would stand in the queue if it were made now. */
        QueuePlace: {
            /**
             * Format: int64
             * @description Its place, 1 being the next to run.
             */
            position: number;
            /** @description Why it would wait; null where a slot is free for it. */
            waiting_reason: string | null;
            /**
             * Format: int64
             * @description When it would likely start, in Unix seconds; null where that is not known.
             */
            estimated_start_at: number | null;
        };
        /** @description What a tenant may use; null is no limit. */
        Quota: {
            /**
             * Format: int64
             * @description Jobs that run or are about to, at once.
             * @default null
             */
            running_jobs?: number | null;
            /**
             * Format: int64
             * @description Jobs that have not ended, running ones among them.
             * @default null
             */
            live_jobs?: number | null;
            /**
             * Format: int64
             * @description Bytes of files and models.
             * @default null
             */
            storage_bytes?: number | null;
            /**
             * Format: int64
             * @description Seconds of running jobs times their devices, on one day (UTC).
             * @default null
             */
            accelerator_seconds_per_day?: number | null;
            /**
             * Format: int64
             * @description The same in one calendar month (UTC).
             * @default null
             */
            accelerator_seconds_per_month?: number | null;
            /**
             * Format: int64
             * @description Requests a minute, of all keys together.
             * @default null
             */
            requests_per_minute?: number | null;
            /**
             * Format: int64
             * @description Requests a minute of each key.
             * @default null
             */
            requests_per_minute_per_key?: number | null;
        };
        /** @description A thing that was removed. */
        Removed: {
            /** @description What it was. */
            type: components["schemas"]["RemovedKind"];
            /** @description Its id, name or key, where it had one. */
            id: string | null;
            job_id: components["schemas"]["JobId"] | null;
            /**
             * Format: int64
             * @description How many there were: objects, events, answers.
             */
            count: number;
            /**
             * Format: int64
             * @description Size in bytes.
             */
            bytes: number;
            /**
             * @description SHA-256 of what was removed, in hexadecimal: of a file's content, of the manifest of a model or checkpoint (which has the
             *     hash of each file), of the JSON lines of events. Null where nothing had content of its own.
             */
            sha256: string | null;
        };
        /**
         * @description What kind of thing was removed.
         * @enum {string}
         */
        RemovedKind: "file" | "upload" | "model" | "checkpoint" | "result_file" | "object" | "events" | "error_message" | "answer" | "job" | "key" | "webhook";
        /** @description Replay. */
        Replay: {
            /**
             * Format: double
             * @description The share of replayed examples in a batch, above 0 to 0.9.
             * @default 0.1
             */
            ratio?: number;
            /**
             * Format: int64
             * @description The most examples that are remembered, 1 to 1000000.
             * @default 1000
             */
            capacity?: number;
            /**
             * @description Which they are.
             * @default balanced_per_stage
             */
            policy?: components["schemas"]["MemoryPolicy"];
        };
        /** @description What a job may use and how it stands beside the tenant's others. */
        Resources: {
            /**
             * @description The pool of executors.
             * @default default
             */
            pool?: string;
            /**
             * Format: int64
             * @description Devices for the job; 1 in this version.
             * @default 1
             */
            devices?: number;
            /**
             * @description Order among the tenant's own jobs; a day of waiting counts as one step. A higher one may take the place of a running lower one.
             * @default normal
             */
            priority?: components["schemas"]["Priority"];
            /**
             * @description Whether the job may be put back after a checkpoint to let another run.
             * @default true
             */
            preemptible?: boolean;
            /**
             * Format: int64
             * @description Running time over all attempts after which the job fails, in seconds.
             * @default 86400
             */
            max_runtime_seconds?: number;
        };
        /** @description A request to replace a key by a new one with the same name and scopes. */
        RotateKey: {
            /**
             * Format: int64
             * @description Seconds for which the old key still works, 0 to 2592000; 86400 where left out.
             * @default null
             */
            overlap_seconds?: number | null;
        };
        /** @description The course of the learning rate over the optimizer steps. */
        Schedule: {
            /**
             * @description The shape after the warm-up.
             * @default cosine
             */
            type?: components["schemas"]["ScheduleKind"];
            /**
             * Format: double
             * @description Share of the steps in which the rate rises from 0 to its peak, 0 to 1.
             * @default 0.03
             */
            warmup_ratio?: number;
            /**
             * Format: double
             * @description The last rate as a share of the peak, 0 to 1.
             * @default 0
             */
            min_ratio?: number;
        };
        /**
         * @description The shapes.
         * @enum {string}
         */
        ScheduleKind: "constant" | "linear" | "cosine" | "wsd";
        /**
         * @description What a key may do.
         * @enum {string}
         */
        Scope: "files.read" | "files.write" | "jobs.read" | "jobs.write" | "models.read" | "models.write" | "usage.read" | "webhooks.read" | "webhooks.write" | "admin";
        /** @description How examples become rows. */
        Sequence: {
            /**
             * Format: int32
             * @description Tokens in a row at most.
             * @default 1024
             */
            max_length?: number;
            packing?: "auto" | boolean;
            /**
             * @description What happens to an example with more tokens. Counted and reported either way.
             * @default truncate
             */
            overlong?: components["schemas"]["Overlong"];
        };
        /** @description Sets what all private jobs on a file's content may spend together. */
        SetPrivacyBudget: {
            /** @description The budget. */
            budget: components["schemas"]["NewPrivacyBudget"];
            unit?: components["schemas"]["PrivacyUnit"] | null;
        };
        /** @description A signing secret, `whsec_` and base64. Its `Debug` shows nothing of it. */
        SigningSecret: string;
        /**
         * @description The order in which stages are trained.
         * @enum {string}
         */
        StageOrder: "as_given" | "easiest_first" | "hardest_first" | "shuffled";
        /** @description What came of a stage. */
        StageResult: {
            /** @description Its name. */
            name: string;
            /** @description Whether the adapter went on with it. */
            kept: boolean;
            /** @description What the gate said; null where there is none. */
            reason?: string | null;
            /**
             * Format: int64
             * @description The job's steps after the stage; the checkpoint of that step is the adapter after it. Null for a stage of an earlier job.
             */
            last_step?: number | null;
        };
        /** @description What is done against forgetting. */
        Strategy: (components["schemas"]["Replay"] & {
            /** @enum {string} */
            type: "replay";
        }) | (components["schemas"]["Derpp"] & {
            /** @enum {string} */
            type: "derpp";
        }) | (components["schemas"]["Ewc"] & {
            /** @enum {string} */
            type: "ewc";
        }) | (components["schemas"]["Lwf"] & {
            /** @enum {string} */
            type: "lwf";
        }) | (components["schemas"]["AGem"] & {
            /** @enum {string} */
            type: "a_gem";
        }) | (components["schemas"]["OLora"] & {
            /** @enum {string} */
            type: "o_lora";
        }) | (components["schemas"]["Ema"] & {
            /** @enum {string} */
            type: "ema";
        }) | (components["schemas"]["Merge"] & {
            /** @enum {string} */
            type: "merge";
        }) | (components["schemas"]["Joint"] & {
            /** @enum {string} */
            type: "joint";
        });
        /** @description Settings of supervised fine-tuning. */
        Supervised: {
            /** @description The hyperparameters. */
            hyperparameters?: components["schemas"]["Hyperparameters"];
        };
        /** @description A tenant. */
        Tenant: {
            /** @description The id; clients see it as the organization. */
            id: components["schemas"]["TenantId"];
            /**
             * @description Always `tenant`.
             * @example tenant
             */
            object: string;
            /**
             * Format: int64
             * @description When it was made, in Unix seconds.
             */
            created_at: number;
            /** @description A name for people. */
            name: string;
            /** @description Whether its keys work. */
            status: components["schemas"]["TenantStatus"];
            /** @description What it may use. */
            quota: components["schemas"]["Quota"];
            /**
             * Format: int32
             * @description Its part of the devices where tenants compete for them: one of weight 2 gets twice what one of weight 1 gets.
             */
            weight: number;
        };
        /** @description A tenant; shown to clients as the organization. */
        TenantId: string;
        /** @description An API key, without its secret. */
        TenantKey: {
            /** @description The public part. */
            id: string;
            /**
             * @description Always `api_key`.
             * @example api_key
             */
            object: string;
            /** @description Whose it is. */
            tenant_id: components["schemas"]["TenantId"];
            /** @description A name for people. */
            name: string;
            /** @description What it may do. */
            scopes: components["schemas"]["Scope"][];
            /**
             * Format: int64
             * @description When it was made, in Unix seconds.
             */
            created_at: number;
            /**
             * Format: int64
             * @description From when on it does not work, in Unix seconds.
             */
            expires_at: number | null;
            /**
             * Format: int64
             * @description When it was revoked, in Unix seconds.
             */
            revoked_at: number | null;
            /**
             * Format: int64
             * @description When it was last used, in Unix seconds, to the minute.
             */
            last_used_at: number | null;
            /** @description The whole key, in the answer that made it and never again. */
            key?: string | null;
        };
        /**
         * @description Whether a tenant's keys work.
         * @enum {string}
         */
        TenantStatus: "active" | "suspended" | "erasing";
        /** @description How long the job would run. */
        TimeEstimate: {
            /**
             * Format: double
             * @description Seconds of training, without the wait.
             */
            seconds: number;
            /**
             * Format: double
             * @description Tokens a second that this assumes.
             */
            tokens_per_second: number;
            /** @description What the rate is from: `earlier_jobs` of the tenant on the same model, or `measured_rate` of this machine's matrix products. */
            basis: string;
        };
        /** @description What came of a file, by name. */
        Trained: {
            /** @description Jobs that read it. */
            jobs: components["schemas"]["JobId"][];
            /** @description Models that they made. */
            models: string[];
            /** @description Their checkpoints, by their names as models. */
            checkpoints: string[];
            /** @description Their result files. */
            result_files: string[];
        };
        /** @description A request to change a tenant: what is left out stays. */
        UpdateTenant: {
            /**
             * @description A name for people.
             * @default null
             */
            name?: string | null;
            /** @default null */
            status?: components["schemas"]["TenantStatus"] | null;
            /** @default null */
            quota?: components["schemas"]["Quota"] | null;
            /**
             * Format: int32
             * @description Its part of the devices where tenants compete for them, 1 to 1000.
             * @default null
             */
            weight?: number | null;
        };
        /** @description A request to change an endpoint: what is left out stays. */
        UpdateWebhook: {
            /**
             * @description Where events are sent.
             * @default null
             */
            url?: string | null;
            /**
             * @description Which events; null for all.
             * @default null
             */
            events?: components["schemas"]["EventType"][] | null;
            /**
             * @description Whether events are sent.
             * @default null
             */
            enabled?: boolean | null;
            /**
             * @description A text for people; null for none.
             * @default null
             */
            description?: string | null;
        };
        /** @description A file on its way in, in parts. */
        Upload: {
            /** @description The id. */
            id: components["schemas"]["UploadId"];
            /**
             * @description Always `upload`.
             * @example upload
             */
            object: string;
            /**
             * Format: int64
             * @description The bytes that the parts shall add up to.
             */
            bytes: number;
            /**
             * Format: int64
             * @description When it was begun, in Unix seconds.
             */
            created_at: number;
            /** @description The name that the file shall have. */
            filename: string;
            /** @description What the file shall be for. */
            purpose: string;
            /** @description How far it is. */
            status: components["schemas"]["UploadStatus"];
            /**
             * Format: int64
             * @description When it is given up unless it is completed before, in Unix seconds.
             */
            expires_at: number;
            file: components["schemas"]["File"] | null;
        };
        /** @description An upload, for the document. */
        UploadFile: {
            /**
             * Format: binary
             * @description The file: JSONL, UTF-8, up to 512 MiB.
             */
            file: string;
            /**
             * @description Always `fine-tune`.
             * @example fine-tune
             */
            purpose: string;
            /**
             * @description When it is deleted by itself: the anchor, always `created_at`.
             * @example created_at
             */
            "expires_after[anchor]"?: string | null;
            /**
             * Format: int64
             * @description Seconds after that: 3600 to 2592000.
             */
            "expires_after[seconds]"?: number | null;
        };
        /** @description An upload in parts. */
        UploadId: string;
        /** @description A part of an upload. */
        UploadPart: {
            /** @description The id. */
            id: components["schemas"]["PartId"];
            /**
             * @description Always `upload.part`.
             * @example upload.part
             */
            object: string;
            /**
             * Format: int64
             * @description When it was added, in Unix seconds.
             */
            created_at: number;
            /** @description The upload that it belongs to. */
            upload_id: components["schemas"]["UploadId"];
        };
        /**
         * @description How far an upload is.
         * @enum {string}
         */
        UploadStatus: "pending" | "completed" | "cancelled" | "expired";
        /** @description What a tenant has used and what it may. */
        Usage: {
            /**
             * @description Always `usage`.
             * @example usage
             */
            object: string;
            /** @description Days on which something was used, oldest first. */
            data: components["schemas"]["UsageDay"][];
            /**
             * Format: int64
             * @description Bytes of files and models now.
             */
            storage_bytes: number;
            /**
             * Format: int64
             * @description Jobs that have not ended now.
             */
            live_jobs: number;
            /**
             * Format: double
             * @description Accelerator-seconds of today.
             */
            accelerator_seconds_today: number;
            /**
             * Format: double
             * @description Accelerator-seconds of this month.
             */
            accelerator_seconds_this_month: number;
            /** @description What the tenant may use. */
            quota: components["schemas"]["Quota"];
        };
        /** @description What a tenant has used on one day. */
        UsageDay: {
            /** @description The day in UTC, such as `2026-11-24`. */
            date: string;
            /**
             * @description Always `usage.day`.
             * @example usage.day
             */
            object: string;
            /**
             * Format: double
             * @description Seconds that executors held for jobs, times the devices of each.
             */
            accelerator_seconds: number;
            /**
             * Format: int64
             * @description Tokens of the jobs that succeeded on this day.
             */
            trained_tokens: number;
            /**
             * Format: int64
             * @description Jobs that were created.
             */
            jobs_created: number;
            /**
             * Format: int64
             * @description Jobs that succeeded.
             */
            jobs_succeeded: number;
        };
        /** @description All lines of one user, drawn together. */
        UserUnit: {
            /** @description The key of each line, beside its data, that names the user: a string or a whole number. */
            user_field: string;
            /**
             * Format: int32
             * @description The most lines of a user that take part in a step; the user's gradient is the mean over them.
             */
            examples_per_unit: number;
        };
        /** @description An endpoint that is told of the events of all jobs of the tenant. */
        Webhook: {
            /** @description The id. */
            id: components["schemas"]["WebhookId"];
            /**
             * @description Always `webhook`.
             * @example webhook
             */
            object: string;
            /**
             * Format: int64
             * @description When it was made, in Unix seconds.
             */
            created_at: number;
            /** @description Where events are sent. */
            url: string;
            /** @description A text for people. */
            description: string | null;
            /** @description Which events; all where null. */
            events: components["schemas"]["EventType"][] | null;
            /** @description Whether events are sent. */
            enabled: boolean;
            /** @description Why the server sends none any more, where it was the server that ended it. */
            disabled_reason: string | null;
            /**
             * Format: int64
             * @description Until when the secret before this one signs too, in Unix seconds.
             */
            old_secret_until: number | null;
            secret?: components["schemas"]["SigningSecret"] | null;
        };
        /** @description An event on its way to one endpoint. */
        WebhookDelivery: {
            /** @description The id: `id` of the body and the header `webhook-id`, the same at every attempt. */
            id: components["schemas"]["DeliveryId"];
            /**
             * @description Always `webhook.delivery`.
             * @example webhook.delivery
             */
            object: string;
            /**
             * Format: int64
             * @description When the event happened, in Unix seconds.
             */
            created_at: number;
            /** @description The endpoint. */
            webhook_id: components["schemas"]["WebhookId"];
            /** @description What happened. */
            type: components["schemas"]["EventType"];
            job_id: components["schemas"]["JobId"] | null;
            /** @description How far it is. */
            status: components["schemas"]["DeliveryStatus"];
            /**
             * Format: int64
             * @description How often it was tried.
             */
            attempts: number;
            /**
             * Format: int64
             * @description The HTTP status of the last answer, where there was one.
             */
            last_response_status: number | null;
            /** @description Why the last attempt failed. */
            last_error: string | null;
            /**
             * Format: int64
             * @description When it is tried next, in Unix seconds, while it is pending.
             */
            next_attempt_at: number | null;
        };
        /** @description An endpoint that is told of events. */
        WebhookId: string;
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type AGem = components['schemas']['AGem'];
export type Adapter = components['schemas']['Adapter'];
export type AdapterKind = components['schemas']['AdapterKind'];
export type AddUploadPart = components['schemas']['AddUploadPart'];
export type Artifact = components['schemas']['Artifact'];
export type AuditEvent = components['schemas']['AuditEvent'];
export type BadLine = components['schemas']['BadLine'];
export type Batching = components['schemas']['Batching'];
export type CheckpointExtension = components['schemas']['CheckpointExtension'];
export type CheckpointId = components['schemas']['CheckpointId'];
export type CheckpointMetrics = components['schemas']['CheckpointMetrics'];
export type Checkpointing = components['schemas']['Checkpointing'];
export type Clipping = components['schemas']['Clipping'];
export type Compatibility = components['schemas']['Compatibility'];
export type CompleteUpload = components['schemas']['CompleteUpload'];
export type Continual = components['schemas']['Continual'];
export type ContinualProgress = components['schemas']['ContinualProgress'];
export type ContinualResult = components['schemas']['ContinualResult'];
export type CreateJob = components['schemas']['CreateJob'];
export type CreateKey = components['schemas']['CreateKey'];
export type CreateTenant = components['schemas']['CreateTenant'];
export type CreateUpload = components['schemas']['CreateUpload'];
export type CreateWebhook = components['schemas']['CreateWebhook'];
export type Deleted = components['schemas']['Deleted'];
export type DeletedFile = components['schemas']['DeletedFile'];
export type DeletedTenant = components['schemas']['DeletedTenant'];
export type DeliveryId = components['schemas']['DeliveryId'];
export type DeliveryStatus = components['schemas']['DeliveryStatus'];
export type Derpp = components['schemas']['Derpp'];
export type EarlyStopping = components['schemas']['EarlyStopping'];
export type Ema = components['schemas']['Ema'];
export type ErasureId = components['schemas']['ErasureId'];
export type ErasureReceipt = components['schemas']['ErasureReceipt'];
export type ErasureStatus = components['schemas']['ErasureStatus'];
export type ErasureSubject = components['schemas']['ErasureSubject'];
export type ErrorBody = components['schemas']['ErrorBody'];
export type ErrorDetail = components['schemas']['ErrorDetail'];
export type Evaluation = components['schemas']['Evaluation'];
export type EventId = components['schemas']['EventId'];
export type EventKind = components['schemas']['EventKind'];
export type EventLevel = components['schemas']['EventLevel'];
export type EventType = components['schemas']['EventType'];
export type Ewc = components['schemas']['Ewc'];
export type ExpiresAfter = components['schemas']['ExpiresAfter'];
export type Extension = components['schemas']['Extension'];
export type File = components['schemas']['File'];
export type FileDeletion = components['schemas']['FileDeletion'];
export type FileId = components['schemas']['FileId'];
export type FilePrivacy = components['schemas']['FilePrivacy'];
export type FilePrivacyRun = components['schemas']['FilePrivacyRun'];
export type FilePrivacyState = components['schemas']['FilePrivacyState'];
export type Health = components['schemas']['Health'];
export type Hyperparameters = components['schemas']['Hyperparameters'];
export type Job = components['schemas']['Job'];
export type JobCheckpoint = components['schemas']['JobCheckpoint'];
export type JobContinual = components['schemas']['JobContinual'];
export type JobErasure = components['schemas']['JobErasure'];
export type JobError = components['schemas']['JobError'];
export type JobEvent = components['schemas']['JobEvent'];
export type JobExtension = components['schemas']['JobExtension'];
export type JobId = components['schemas']['JobId'];
export type JobPrivacy = components['schemas']['JobPrivacy'];
export type JobResult = components['schemas']['JobResult'];
export type JobStatus = components['schemas']['JobStatus'];
export type JobWebhook = components['schemas']['JobWebhook'];
export type Joint = components['schemas']['Joint'];
export type Kept = components['schemas']['Kept'];
export type KeptKind = components['schemas']['KeptKind'];
export type Lineage = components['schemas']['Lineage'];
export type LineageCheckpoint = components['schemas']['LineageCheckpoint'];
export type LineageEdgeKind = components['schemas']['LineageEdgeKind'];
export type LineageFile = components['schemas']['LineageFile'];
export type LineageJob = components['schemas']['LineageJob'];
export type LineageModel = components['schemas']['LineageModel'];
export type LineageNodeKind = components['schemas']['LineageNodeKind'];
export type Link = components['schemas']['Link'];
export type Lwf = components['schemas']['Lwf'];
export type Matrix = components['schemas']['Matrix'];
export type MatrixRow = components['schemas']['MatrixRow'];
export type MemoryFit = components['schemas']['MemoryFit'];
export type MemoryPolicy = components['schemas']['MemoryPolicy'];
export type Merge = components['schemas']['Merge'];
export type Method = components['schemas']['Method'];
export type MethodKind = components['schemas']['MethodKind'];
export type Metric = components['schemas']['Metric'];
export type Model = components['schemas']['Model'];
export type ModelLineage = components['schemas']['ModelLineage'];
export type ModelLineageEdge = components['schemas']['ModelLineageEdge'];
export type ModelLineageNode = components['schemas']['ModelLineageNode'];
export type NamedUnit = components['schemas']['NamedUnit'];
export type NewJobWebhook = components['schemas']['NewJobWebhook'];
export type NewPrivacyBudget = components['schemas']['NewPrivacyBudget'];
export type NewStage = components['schemas']['NewStage'];
export type OLora = components['schemas']['OLora'];
export type Optimizer = components['schemas']['Optimizer'];
export type OptimizerKind = components['schemas']['OptimizerKind'];
export type Order = components['schemas']['Order'];
export type Overlong = components['schemas']['Overlong'];
export type PartId = components['schemas']['PartId'];
export type Preflight = components['schemas']['Preflight'];
export type PreflightFile = components['schemas']['PreflightFile'];
export type Priority = components['schemas']['Priority'];
export type Privacy = components['schemas']['Privacy'];
export type PrivacyAccountant = components['schemas']['PrivacyAccountant'];
export type PrivacyBudget = components['schemas']['PrivacyBudget'];
export type PrivacyForecast = components['schemas']['PrivacyForecast'];
export type PrivacyForecastPoint = components['schemas']['PrivacyForecastPoint'];
export type PrivacySpent = components['schemas']['PrivacySpent'];
export type PrivacyUnit = components['schemas']['PrivacyUnit'];
export type Progress = components['schemas']['Progress'];
export type Purpose = components['schemas']['Purpose'];
export type QueuePlace = components['schemas']['QueuePlace'];
export type Quota = components['schemas']['Quota'];
export type Removed = components['schemas']['Removed'];
export type RemovedKind = components['schemas']['RemovedKind'];
export type Replay = components['schemas']['Replay'];
export type Resources = components['schemas']['Resources'];
export type RotateKey = components['schemas']['RotateKey'];
export type Schedule = components['schemas']['Schedule'];
export type ScheduleKind = components['schemas']['ScheduleKind'];
export type Scope = components['schemas']['Scope'];
export type Sequence = components['schemas']['Sequence'];
export type SetPrivacyBudget = components['schemas']['SetPrivacyBudget'];
export type SigningSecret = components['schemas']['SigningSecret'];
export type StageOrder = components['schemas']['StageOrder'];
export type StageResult = components['schemas']['StageResult'];
export type Strategy = components['schemas']['Strategy'];
export type Supervised = components['schemas']['Supervised'];
export type Tenant = components['schemas']['Tenant'];
export type TenantId = components['schemas']['TenantId'];
export type TenantKey = components['schemas']['TenantKey'];
export type TenantStatus = components['schemas']['TenantStatus'];
export type TimeEstimate = components['schemas']['TimeEstimate'];
export type Trained = components['schemas']['Trained'];
export type UpdateTenant = components['schemas']['UpdateTenant'];
export type UpdateWebhook = components['schemas']['UpdateWebhook'];
export type Upload = components['schemas']['Upload'];
export type UploadFile = components['schemas']['UploadFile'];
export type UploadId = components['schemas']['UploadId'];
export type UploadPart = components['schemas']['UploadPart'];
export type UploadStatus = components['schemas']['UploadStatus'];
export type Usage = components['schemas']['Usage'];
export type UsageDay = components['schemas']['UsageDay'];
export type UserUnit = components['schemas']['UserUnit'];
export type Webhook = components['schemas']['Webhook'];
export type WebhookDelivery = components['schemas']['WebhookDelivery'];
export type WebhookId = components['schemas']['WebhookId'];
