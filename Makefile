# The verbs of the house. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo test check golden bench fuzz lock clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## install everything into .venv (hash-checked)

# uv installs in seconds; where it finds no index of its own, pip does the same work more slowly.
$(VENV)/.ready: requirements-setup.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tocsin needs Python 3.11 or newer; run 'make PYTHON=python3.11 …'."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about half a minute the first time) …"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode --no-deps --require-hashes -r requirements-dev.lock \
	  2> $(VENV)/uv.log || { echo "uv cannot install here; falling back to pip, which takes longer …"; \
	  $(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock \
	  || { echo "Neither can pip. What uv said:"; cat $(VENV)/uv.log; exit 1; }; }
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## two nodes, one Matrix room, one alarm (ARGS=--keep|--json, DATA=FILE)
	@$(BIN)/python deploy/demo/demo.py $(if $(DATA),--data "$(DATA)") $(ARGS)

test: setup ## every test, with real Postgres and a real homeserver (ARGS=… goes to pytest)
	@$(BIN)/python -m pytest $(ARGS)

check: setup ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

golden: setup ## write anew what is written from the code; then look at the difference
	@$(BIN)/python -m tests.cli.golden
	@$(BIN)/python -m tests.schema.golden
	@$(BIN)/python federation/vectors/make.py
	@TOCSIN_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/house/test_error_codes.py tests/house/test_settings.py \
	  tests/node/test_migrations.py

bench: setup ## every figure beside the machine's own limit
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: setup ## look for inputs that break a parser (TARGET=NAME,…, TIME=seconds each)
	@$(BIN)/python -m tests.fuzz $(if $(TARGET),--only "$(TARGET)") --seconds $(or $(TIME),60) $(ARGS)

lock: setup ## write the lock files anew: names, versions and hashes, no registry address
	@for target in cli: node:"--extra node --extra embedded" e2ee:"--extra node --extra embedded --extra e2ee" \
	  dev:"--extra node --extra embedded --extra e2ee --extra pdf --group dev"; do \
	  $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    pyproject.toml $${target#*:} -o requirements-$${target%%:*}.lock; done

clean: ## take away .venv and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
