# Needs only make and a python3 (3.11 or later) with venv; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock
# auto takes every core; set WORKERS=1 to debug.
WORKERS ?= auto
OUT ?= out/demo
DEMO ?= quorum-staleness
HUNT_FOR ?= 20min

# A package source or interpreter setting of the caller's must not leak into the environment.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench explore planted hunt lock wheel clean golden published

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv from the hashed lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kvsim needs Python 3.11 or later, but $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	@echo "installing into $(VENV); this takes about two minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

demo: $(STAMP) ## run the main job: simulate a bundled experiment and draw its pictures
	$(BIN)/kvsim simulate $(DEMO) --out $(OUT)

lint: $(STAMP) ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint, then run all tests
	$(BIN)/pytest -n $(WORKERS) --dist loadscope

bench: $(STAMP) ## measure kvsim beside its yardsticks
	$(BIN)/python -m benchmarks

# Each hunt goes on where the last one was, so that no night looks at the same runs as the one before.
hunt: $(STAMP) ## hunt the correct designs, HUNT_FOR each
	$(BIN)/kvsim hunt tests/hunt/correct.toml --set design.replication=quorum --set design.consistency=linearizable --for $(HUNT_FOR) --out out/hunt-quorum
	$(BIN)/kvsim hunt tests/hunt/correct.toml --set design.replication=raft --for $(HUNT_FOR) --out out/hunt-raft
	$(BIN)/kvsim hunt tests/hunt/correct.toml --set design.replication=primary_backup --for $(HUNT_FOR) --out out/hunt-primary-backup

published: $(STAMP) ## reproduce published figures, and write docs/published.md
	$(BIN)/python -m kvsim.lab.published

explore: $(STAMP) ## explore small worlds of the correct protocols whole, and write docs/explored-worlds.md
	$(BIN)/python -m tests.explore

planted: $(STAMP) ## look for every planted bug and write docs/planted-bugs.md
	$(BIN)/python -m tests.planted

wheel: $(STAMP) ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

# Only what a simulation needs is installed, so an interpreter's environment is small.
golden: $(STAMP) ## give other interpreters (3.11 to 3.13) environments, and compare the golden runs on each
	@for version in 3.11 3.12 3.13; do \
		for python in python$$version "$$HOME"/.pyenv/versions/$$version.*/bin/python; do \
			if $$python -c '' 2>/dev/null; then break; fi; python=; \
		done; \
		if [ -z "$$python" ]; then echo "there is no Python $$version here"; continue; fi; \
		$$python -m venv .venv-$$version || exit 1; \
		awk '/^[a-z]/ { keep = /^(msgspec|networkx|simpy)==/ } keep' requirements.lock > .venv-$$version/requirements.txt; \
		.venv-$$version/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
			-r .venv-$$version/requirements.txt || exit 1; \
	done
	$(BIN)/pytest tests/golden

# uv only writes the lock; it is neither a dependency nor needed by any other target.
lock: ## pin every dependency anew, for all platforms, with hashes
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --upgrade uv
	.tools/bin/uv pip compile --quiet --universal --generate-hashes --upgrade --python-version 3.11 --extra dev \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-3.11 .venv-3.12 .venv-3.13 .tools build dist out
