# Thin: each target is a few lines that call cargo or a script. `make help` lists them.
SHELL := /bin/bash
# Tools that scripts/prerequisites.sh fetched because the machine has none.
export PATH := $(PATH):$(CURDIR)/.cache/tools/bin
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help prerequisites libtorch python demo-assets build release demo demo-private test test-fast test-helm test-images test-sdk sdk bench-roofline bench-gpu test-gpu bench-privacy bench-continual audit-privacy test-s3 test-rabbitmq test-schema fuzz lint fmt openapi model-check fair-share nemesis zombies nemesis-mutants bench bench-api bench-cluster bench-scrape clean

REDOCLY := @redocly/cli@2.77.0
# How much `make bench-api` does: jobs of the largest tenant, seconds of each measurement, MiB that stream in.
JOBS ?= 100000
BENCH_SECONDS ?= 10
FILE_MIB ?= 2048
# How much `make bench-scrape` does.
SCRAPE_JOBS ?= 1000
SCRAPE_TENANTS ?= 50
NEXTEST_PROFILE := $(if $(CI),ci,default)

help: ## What there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

prerequisites: ## Check for compilers and tools; install what Debian or Ubuntu has
	@scripts/prerequisites.sh

libtorch: prerequisites ## Put libtorch into .libtorch (once; 437 MB without a GPU)
	@python3 scripts/libtorch.py

python: prerequisites ## Put the reference libraries into .venv (tests and benchmarks only)
	@scripts/python_env.sh

demo-assets: prerequisites ## Fetch the demo's model and data into .cache
	@python3 scripts/demo_assets.py

build: libtorch ## Build server and trainer (debug)
	cargo build --locked -p trainyard -p trainyard-trainer

release: libtorch ## Build server and trainer (optimised) into target/release
	cargo build --locked --release -p trainyard -p trainyard-trainer

demo: libtorch demo-assets ## Train a real model on real data through the real server
	@scripts/demo.sh

demo-private: release python demo-assets ## A real private job at epsilon 8, with the openai package, through the real server
	.venv/bin/python bench/private_job.py

test: libtorch python demo-assets build ## Every test
	@scripts/prerequisites.sh s3
	@scripts/prerequisites.sh test
	cargo nextest run --locked --workspace --profile $(NEXTEST_PROFILE)
	scripts/test_helm.sh
	scripts/sdk_test.sh

test-helm: ## The chart, its rules and dashboards, without a cluster
	@scripts/test_helm.sh

test-images: ## Run an image's Dockerfile without Docker: IMAGE=server or executor (QUICK=1: unoptimised)
	@images/test.sh $(or $(IMAGE),server)

test-sdk: build ## The SDKs: drift from the document, types, packages, and both against a live server
	@scripts/sdk_test.sh

sdk: ## Generate the SDKs anew from openapi/openapi.json
	@scripts/sdk.sh

test-fast: ## The tests that need neither libtorch nor Python
	@scripts/prerequisites.sh s3
	@scripts/prerequisites.sh test
	cargo nextest run --locked

test-schema: libtorch python build ## Requests made from the OpenAPI document, with a new seed each time (or SEED=n)
	SCHEMA_SEED=$(or $(SEED),$$RANDOM) cargo nextest run --locked --workspace --profile $(NEXTEST_PROFILE) --no-capture -E 'test(schema::)'

fuzz: libtorch ## Fuzz the parsers of files: TARGET=jsonl, safetensors, gguf or chat_template (else all), SECONDS=300 each
	@scripts/fuzz.sh "$(TARGET)" $(or $(SECONDS),300)

test-s3: ## The tests of objects on another S3 server: ENDPOINT=URL BUCKET=NAME, keys as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
	@: $${ENDPOINT:?name the URL of the server: make test-s3 ENDPOINT=... BUCKET=...} $${BUCKET:?name a bucket that is there}
	TRAINYARD_TEST_S3_ENDPOINT="$$ENDPOINT" TRAINYARD_TEST_S3_BUCKET="$$BUCKET" cargo nextest run --locked \
		-p trainyard-scheduler --run-ignored only --no-capture objects_in_another_server_hold

test-rabbitmq: ## The tests of the queue on another RabbitMQ: PROGRAMS=FOLDER[:FOLDER], those of rabbitmq-server and of its Erlang
	@: $${PROGRAMS:?name the folder of rabbitmq-server and that of erl: make test-rabbitmq PROGRAMS=/opt/rabbitmq/sbin:/opt/erlang/bin}
	TRAINYARD_TEST_RABBITMQ="$$PROGRAMS" cargo nextest run --locked --workspace --profile $(NEXTEST_PROFILE) \
		-E 'package(trainyard-scheduler) and test(/^rabbitmq::/)'

lint: libtorch ## Formatting, clippy, licences, the OpenAPI document, the absences of ARCHITECTURE.md
	@scripts/prerequisites.sh lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/deny.sh
	npx --yes $(REDOCLY) lint openapi/openapi.json
	scripts/tidy.sh

model-check: ## The dispatch protocol, and each way to break it, over every interleaving (FULL=1: one fault more)
	cargo run --locked -q -p trainyard-model-check -- $(if $(FULL),4,3)

nemesis: libtorch build ## Faults on a cluster of real processes, and what became of its promises (SEED=n; FULL=1: 1,000 faults, 5,000 jobs)
	@scripts/prerequisites.sh s3
	@scripts/prerequisites.sh test
	cargo build --locked -p trainyard-nemesis
	target/debug/trainyard-nemesis $(if $(SEED),--seed $(SEED)) faults $(if $(FULL),--faults 1000 --jobs 5000,--faults 60 --jobs 300)

zombies: libtorch build ## Runs that are held past their lease and go on (SEED=n; FULL=1: 500)
	@scripts/prerequisites.sh s3
	@scripts/prerequisites.sh test
	cargo build --locked -p trainyard-nemesis
	target/debug/trainyard-nemesis $(if $(SEED),--seed $(SEED)) zombies --zombies $(if $(FULL),500,50)

nemesis-mutants: libtorch build ## The service with a guard left out, one after the other: each has to be found
	@scripts/nemesis_mutants.sh

fmt: ## Format the sources
	cargo fmt --all

openapi: ## Write openapi/openapi.json from the types
	cargo build --locked -q --workspace --example openapi
	$${CARGO_TARGET_DIR:-target}/debug/examples/openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

fair-share: ## What tenants get of a pool, played through: shares by weight, a newcomer's turn, a heavy user's wait
	cargo test --locked -q -p trainyard-scheduler --lib policy::simulation -- --nocapture --test-threads=1

bench: release python demo-assets ## Speed and memory beside HF + PEFT, and of all weights beside HF, in one run (PRECISION=bf16 or fp32)
	.venv/bin/python bench/run.py $(if $(PRECISION),--precision $(PRECISION))
	.venv/bin/python bench/run.py --full $(if $(PRECISION),--precision $(PRECISION))

bench-roofline: release demo-assets ## The share of the least possible time of a step that is reached (PRECISION=bf16 or fp32)
	python3 bench/run.py --peers --rounds 1 $(if $(PRECISION),--precision $(PRECISION))

bench-gpu: release python ## The same on a GPU, with a Llama of 1B parameters (says so where there is none)
	.venv/bin/python bench/run.py --device cuda $(if $(PRECISION),--precision $(PRECISION))

test-gpu: libtorch ## The tests of what a GPU computes (each says that it is skipped where there is none)
	cargo nextest run --locked --workspace --no-capture -E 'package(trainyard-trainer) and test(/^cuda::/)'

bench-privacy: release python demo-assets ## Private steps beside Opacus and beside our own without privacy; the speed of noise and of accounting
	.venv/bin/python bench/run.py --private $(if $(PRECISION),--precision $(PRECISION))
	.venv/bin/python bench/logical_batch.py
	cargo nextest run --locked --release -p trainyard-privacy --run-ignored all --no-capture -E 'test(noise_speed) + test(prv_equals_pld)'

bench-continual: release python demo-assets ## What each strategy against forgetting gives and costs, three seeds (hours; SEEDS=1 for one)
	.venv/bin/python bench/continual.py --seeds $(or $(SEEDS),1 2 3)

audit-privacy: libtorch ## A private step under audit, and each part of it left out once: it has to be missed
	cargo nextest run --locked -p trainyard-trainer --features mutants --no-capture -E 'test(/^audit::/)'

bench-api: ## Latency, submits, lists and memory of the API: JOBS, BENCH_SECONDS and FILE_MIB say how much
	cargo build --locked --release -p trainyard -p trainyard-bench-api
	target/release/trainyard-bench-api target/release/trainyard $(JOBS) $(BENCH_SECONDS) $(FILE_MIB)

bench-cluster: prerequisites ## Submits that Redis fsyncs, and tickets over RabbitMQ: BENCH_SECONDS says for how long
	@scripts/prerequisites.sh test
	cargo build --locked --release -p trainyard -p trainyard-bench-api
	target/release/trainyard-bench-api cluster $(BENCH_SECONDS)

bench-scrape: libtorch ## Series and time of a scrape while SCRAPE_JOBS jobs of SCRAPE_TENANTS tenants are trained
	cargo build --locked --release -p trainyard -p trainyard-trainer -p trainyard-bench-api
	target/release/trainyard-bench-api scrape $(SCRAPE_JOBS) $(SCRAPE_TENANTS)

clean: ## Remove what was built; .cache, .libtorch and .venv stay
	cargo clean
