# What a person, and CI, calls. Everything lives in .venv; nothing else of the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types imports docs cloud bench accuracy dedup soak-sim soak-teeth soak-kill lock record shoot clean install

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12")'
	@echo "making .venv from the package registry; the first time takes some minutes"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[local,dev]'
	@touch $@

install: $(STAMP)  ## the environment (.venv), from the package registry

demo: $(STAMP)  ## a real QLoRA fine-tuning run on this machine's CPU, from plan to receipt
	@$(BIN)/launch --provider local --job examples/support-json --out .demo/run --yes

test: $(STAMP)  ## the whole suite: no account, no GPU, no root
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

docs: $(STAMP)  ## README and docs say what the program really prints
	$(BIN)/cog --check -r README.md docs/*.md tests/cloud/README.md

check: lint types imports docs test  ## everything that CI does

cloud: $(STAMP)  ## a test cloud on this machine, to try the whole product without an account
	@$(BIN)/python -m tests.cloud

bench: $(STAMP)  ## how fast: start-up, an estimate, 100,000 offers ranked, a launch's own share in the test cloud
	@$(BIN)/python -m tests.bench

accuracy: $(STAMP)  ## how far estimates are off, on published runs that no constant was fitted on
	@$(BIN)/python -m tests.accuracy

dedup: $(STAMP)  ## how well repeats and leaks in the data are found, on 10,000 rows
	@$(BIN)/python -m tests.dedup

SOAK = $(BIN)/python -m tests.soak
soak-sim: $(STAMP)  ## bad days on virtual time: 100,000, 20,000 with a durable store, SIGKILL at every point and every pair; is a promise broken?
	@$(SOAK) --keep
	@$(SOAK) --store --schedules 20000 --keep
	@$(SOAK) --kills --keep
	@$(SOAK) --pairs --keep

soak-teeth: $(STAMP)  ## whether that notices bugs: those that are planted on purpose, and mutants that a tool draws
	@$(SOAK).teeth --all $(TEETH)

soak-kill: $(STAMP)  ## SIGKILL of the real program against the test clouds, 3,000 times; goes on where it was broken off
	@$(BIN)/python -m tests.soak_kill

UV = $(CURDIR)/$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11
TORCHES = $$(grep -oE '^(torch|triton|setuptools|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)' torch.lock | sed 's/^/--no-emit-package /')
# The list of a tracker, or of the harness, holds only what comes on top of the job's own packages.
OURS = $$(grep -ohE '^[a-z0-9-]+' torch.lock requirements.lock | sort -u | sed 's/^/--no-emit-package /')
lock: $(STAMP)  ## the hash-locked lists for rented machines, anew
	$(BIN)/pip install --quiet uv
	cd jobs/qlora && $(UV) requirements.in torch.in -o $(CURDIR)/.venv/all.lock
	cd jobs/qlora && $(UV) torch.in -c $(CURDIR)/.venv/all.lock -o torch.lock
	cd jobs/qlora && $(UV) requirements.in -c $(CURDIR)/.venv/all.lock $(TORCHES) -o requirements.lock
	cd jobs/qlora && $(UV) hub.in -c $(CURDIR)/.venv/all.lock -o hub.lock
	cd jobs/qlora && for one in wandb mlflow trackio harness; do $(UV) $$one.in -c $(CURDIR)/.venv/all.lock $(OURS) -o $$one.lock || exit 1; done

record: $(STAMP)  ## the transcripts that README.md shows, from two real runs
	$(BIN)/python -m docs.record
	$(BIN)/cog -r README.md

shoot: $(STAMP)  ## the pictures of the report that docs/report.md shows, taken in a real browser (chromium)
	$(BIN)/python -m docs.shoot

clean:  ## everything that these targets made
	rm -rf .venv .demo .bench .soak-kill .soak-sim .soak-teeth .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
