# Everything lives in .venv in this folder; nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
SETUP := PYTHON="$(PYTHON)" sh .ci/setup

.DEFAULT_GOAL := help
.PHONY: help run test lint docs mutants bench

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: ## set up and start the simulated instrument with its screen
	@$(SETUP)
	$(BIN)/leukolux run --sim $(ARGS)

test: ## set up and run the tests (ARGS="-m slow" and the like are passed on)
	@$(SETUP) dev
	@# The workers share the cores: no library starts threads of its own.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

lint: ## style, types and prose
	@$(SETUP) dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=docs/hooks $(BIN)/mypy docs/prose.py docs/hooks/*.py
	$(BIN)/lint-imports
	$(BIN)/python docs/prose.py

docs: ## build the documentation into build/docs
	@$(SETUP) docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file docs/mkdocs.yml

mutants: ## change guarded modules and see whether tests fail (ARGS="registry")
	@$(SETUP) dev,mutants
	$(BIN)/python tests/mutation/run.py $(ARGS)

bench: ## measure, in ratios
	@$(SETUP)
	$(BIN)/leukolux bench $(ARGS)
