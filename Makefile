# Thin: each target is a few lines that call cargo or a script. `make help` lists them.
SHELL := /bin/bash
# Tools that scripts/prerequisites.sh fetched because the machine has none.
export PATH := $(PATH):$(CURDIR)/.cache/tools/bin
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help prerequisites libtorch python demo-assets build release demo test test-fast lint fmt openapi bench clean

REDOCLY := @redocly/cli@2.77.0
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

test: libtorch python build ## Every test
	@scripts/prerequisites.sh test
	cargo nextest run --locked --workspace --profile $(NEXTEST_PROFILE)

test-fast: ## The tests that need neither libtorch nor Python
	@scripts/prerequisites.sh test
	cargo nextest run --locked

lint: libtorch ## Formatting, clippy, licences, the OpenAPI document, the absences of ARCHITECTURE.md
	@scripts/prerequisites.sh lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/deny.sh
	npx --yes $(REDOCLY) lint openapi/openapi.json
	scripts/tidy.sh

fmt: ## Format the sources
	cargo fmt --all

openapi: ## Write openapi/openapi.json from the types
	cargo run --locked -q -p trainyard-api --example openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

bench: release python demo-assets ## Speed and memory beside HF + PEFT, in one run
	.venv/bin/python bench/run.py

clean: ## Remove what was built; .cache, .libtorch and .venv stay
	cargo clean
