PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint format memory
demo: $(BIN)/.installed  ## train a small network on handwritten digits (a few minutes on two cores)
	$(BIN)/trevsnn train digits --output runs/demo --overwrite

test: lint  ## everything that CI checks
	$(BIN)/pytest -n auto --maxprocesses 4

lint: $(BIN)/.developer
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(BIN)/.developer
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

memory: $(BIN)/.developer  ## the README's table and picture of memory against timesteps (two minutes)
	KINETO_LOG_LEVEL=5 $(BIN)/python benchmarks/memory_vs_timesteps.py --output docs/images

$(BIN)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "trevsnn needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	@echo "installing trevsnn with PyTorch into .venv (once, a few minutes)"
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(BIN)/.developer: $(BIN)/.installed
	$(BIN)/pip install --quiet --group dev
	@touch $@
