# Each target sets up what it needs; a second call installs nothing unless pyproject.toml or the constraints changed.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
# One pip call with the constraints: torch is pinned before anything else can ask for a newer (and larger) build.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

.PHONY: help generate test lint format clean distclean
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1	/' | expand -t 16

generate: .venv/.installed ## write 64 new crystals into runs/first
	$(BIN)/materium generate -n 64 --seed 1 --out runs/first

test: .venv/.installed-test ## run all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/.installed-dev ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and builds; runs and the environment stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove the environment
	rm -rf .venv

.venv/.installed: pyproject.toml $(CONSTRAINTS)
	@echo "installing materium into .venv (some minutes the first time)"
	$(PYTHON) -m venv .venv
	$(INSTALL) -e ".[test,train]"
	@touch $@

# The potentials and predictors too, so that no test of them is skipped.
.venv/.installed-test: .venv/.installed
	$(INSTALL) -e ".[test,train,chgnet,cgcnn,sevennet,smact,report]"
	@touch $@

.venv/.installed-dev: .venv/.installed-test
	$(INSTALL) -e ".[test,train,chgnet,cgcnn,sevennet,smact,report,dev]"
	@touch $@
