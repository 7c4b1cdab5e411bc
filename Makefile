# Each target sets up what it needs; a second call installs nothing unless pyproject.toml or the constraints changed.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
# One pip call with the constraints: torch is pinned before anything else can ask for a newer (and larger) build.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
VENDOR := src/materium/serve/static/vendor
VIEWER := $(VENDOR)/3Dmol-min.js

.PHONY: help generate test serve docs lint format clean distclean
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1	/' | expand -t 16

generate: .venv/.installed ## write 64 new crystals into runs/first
	$(BIN)/materium generate -n 64 --seed 1 --out runs/first

test: .venv/.installed-test ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

serve: .venv/.installed-serve $(VIEWER) ## the page in the browser, with the HTTP API behind it
	$(BIN)/materium serve

docs: .venv/.installed-docs ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Named, for help lists targets of letters alone.
test-browser: .venv/.browser
	$(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

lint: .venv/.installed-dev ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and builds; runs and the environment stay
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks tools docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove the environment
	rm -rf .venv web/node_modules $(VENDOR)

.venv/.installed: pyproject.toml hatch_build.py src/materium/model/loops.c $(CONSTRAINTS)
	@echo "installing materium into .venv (some minutes the first time)"
	$(PYTHON) -m venv .venv
	$(INSTALL) -e ".[test,train]"
	@touch $@

# The potentials and predictors too, so that no test of them is skipped.
.venv/.installed-test: .venv/.installed
	@echo "installing packages for the tests (some minutes the first time)"
	$(INSTALL) -e ".[test,train,chgnet,cgcnn,sevennet,smact,report,docs,serve]"
	@touch $@

# CHGNet and SMACT too, which the page judges with.
.venv/.installed-serve: .venv/.installed
	@echo "installing packages for the page and its judges (some minutes the first time)"
	$(INSTALL) -e ".[test,train,chgnet,smact,serve]"
	@touch $@

.venv/.installed-docs: .venv/.installed
	@echo "installing packages for the documentation (some minutes the first time)"
	$(INSTALL) -e ".[test,train,docs]"
	@touch $@

.venv/.installed-dev: .venv/.installed-test
	@echo "installing packages for linters and type checker (some minutes the first time)"
	$(INSTALL) -e ".[test,train,chgnet,cgcnn,sevennet,smact,report,docs,serve,dev]"
	@touch $@

# The 3D viewer of the page, from npm and pinned by its lock file; without npm the page shows still pictures instead.
# The file itself is the target: a stamp would outlive it.
$(VIEWER): web/package.json web/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "fetching 3Dmol.js from npm" && (cd web && npm ci --ignore-scripts --silent) && mkdir -p $(VENDOR) \
	  && cp web/node_modules/3dmol/LICENSE $(VENDOR)/3Dmol-LICENSE.txt && cp web/node_modules/3dmol/build/3Dmol-min.js $@; \
	else echo "npm (with Node.js 18 or newer) is not installed: the page shows still pictures in place of the 3D view"; fi

# A browser for tests/browser: Debian's Chromium, for Playwright's own would come from another host.
.venv/.browser: .venv/.installed-test $(VIEWER)
	@echo "installing a browser for the tests (some minutes)"
	$(INSTALL) -e ".[test,train,chgnet,cgcnn,sevennet,smact,report,docs,serve,browser]"
	@sh tests/browser/install-chromium.sh
	@touch $@
