# Each target does its own set-up: a virtual environment in .venv, made again when its inputs change.
.DEFAULT_GOAL := help
.PHONY: help demo test soak docs bench bench-quick lint format constraints clean

SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(SUITABLE)' >/dev/null 2>&1 && { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip -qq --disable-pip-version-check install -c constraints.txt
# Otherwise each of the first processes would do so, for some seconds.
COMPILE := $(BIN)/python -c 'import pipeline.dialects.blake3, pipeline.dialects.residue, pipeline.dialects.structure, pipeline.lake.keyset'
INPUTS := pyproject.toml constraints.txt
PEERS := .venv-peers

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(VENV)/.runtime ## Watch a simulated fleet raise alerts (Ctrl-C ends it)
	@exec $(BIN)/peacewatch demo

test: $(VENV)/.ready ## Run the tests
	@exec $(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(VENV)/.ready ## Kill, stop, fill and crash services for half an hour; SOAK="..." for options
	@PYTHONPATH=tests exec $(BIN)/python -m faults $(SOAK)

docs: $(VENV)/.ready ## Build the documentation
	@$(BIN)/sphinx-build -W --keep-going -q -j auto -b html docs docs/_build
	@echo "Open docs/_build/index.html"

bench: $(VENV)/.ready $(PEERS)/.ready ## Compare with Spark, DuckDB and others; BENCH="..." for options
	@exec $(BIN)/python -m benchmarks.bench $(BENCH)

bench-quick: $(VENV)/.ready $(PEERS)/.ready ## The same on a small input, in three minutes
	@exec $(BIN)/python -m benchmarks.bench --quick $(BENCH)

lint: $(VENV)/.ready ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.ready ## Put the code into the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

constraints: ## Refresh the pinned versions in constraints.txt
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch" && \
	"$$scratch/bin/python" -m pip -qq --disable-pip-version-check install '.[dev]' && \
	"$$scratch/bin/python" -m pip --disable-pip-version-check freeze --exclude peacewatch >constraints.txt

clean: ## Remove the virtual environments and everything that was built
	rm -rf $(VENV) $(PEERS) benchmarks/results tests/faults/results build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Peacewatch needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(INPUTS) | $(VENV)/bin/python
	@echo "Installing Peacewatch into $(VENV) (a minute or two, once) ..."
	@$(INSTALL) -e .
	@$(COMPILE)
	@touch $@

$(VENV)/.ready: $(INPUTS) | $(VENV)/bin/python
	@echo "Installing Peacewatch and its development tools into $(VENV) (a minute or two, once) ..."
	@$(INSTALL) -e '.[dev]'
	@$(COMPILE)
	@touch $(VENV)/.runtime $@

# One after the other: a system that does not install on this Python is left out, and the benchmark says so.
$(PEERS)/.ready: benchmarks/peers/requirements.txt | $(VENV)/bin/python
	@echo "Installing the systems to compare with into $(PEERS) (a minute or two, once) ..."
	@$(PYTHON) -m venv $(PEERS)
	@grep -v '^#' $< | while read -r peer; do \
		$(PEERS)/bin/python -m pip -qq --disable-pip-version-check install "$$peer" </dev/null || \
			echo "not installed: $$peer" >&2; \
	done
	@touch $@
