# Two commands are all a newcomer needs: `make study` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt

.PHONY: study test check bench notebook clean

study: $(VENV)/.study ## install, run the quickstart sweep on real text, end with its verdict and report
	$(BIN)/tinylm sweep quickstart

test: $(VENV)/.dev ## the whole suite
	$(BIN)/python -m pytest

check: $(VENV)/.dev ## lint, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## speed, measured against the machine's own limit and other training loops
	$(BIN)/python -m benchmarks

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tinylm needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.study: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tinylm into $(VENV) (once, a few minutes) ..."
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tinylm with its development tools into $(VENV) (once, a few minutes) ..."
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.study

clean: ## remove what builds leave behind; runs/ stays
	rm -rf $(VENV) dist build bench.json
