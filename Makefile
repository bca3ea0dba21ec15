PYTHON ?= python3
BIN := .venv/bin

PACKAGES := training data models deployment
COUNT := 60
SEED := 0
MINUTES := 10
STEP_METHODS := $(foreach form,:reversible :packed :stored :checkpointed :plain,trevsnn_small$(form)) \
  $(foreach level,-memopt1 -memopt2 -memopt3 -memopt4,ms_resnet34$(level) sdt_8_512$(level)) ms_resnet34 sdt_8_512

.PHONY: demo test lint format docs memory benchmark results mutants fuzz
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

docs: $(BIN)/.developer  ## this documentation as a site, into site/; begin with site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

memory: $(BIN)/.installed  ## the tables and pictures of training memory in README and docs/events.md (15 minutes)
	$(BIN)/trevsnn memory trevsnn_small --budget 24GB --plot docs/images/memory.png
	$(BIN)/trevsnn memory trevsnn_dvs --batch 8 --plot docs/images/memory_dvs.png --plot-timesteps 8 16 32

benchmark: $(BIN)/.developer  ## the tables of docs/benchmarks.md, into runs/benchmarks (long)
	mkdir -p runs/benchmarks
	$(BIN)/trevsnn compare $(STEP_METHODS) --reference trevsnn_small:stored --timesteps 1,2,4,8,16 \
	  --json runs/benchmarks/training_step.json --resume \
	  --output runs/benchmarks/training_step.md --plot runs/benchmarks/training_step.png
	$(BIN)/python benchmarks/inference.py --output runs/benchmarks

results: $(BIN)/.developer  ## what docs/results.md is made of, into runs (long)
	$(BIN)/trevsnn compare --batch 8 --repeats 3 --plot docs/images/compare.png --output runs/compare.md
	$(BIN)/trevsnn gradients --plot docs/images/gradients.png
	$(BIN)/trevsnn ablate digits --epochs 8
	$(BIN)/trevsnn ablate digits --vary model=trevsnn_digits,ms_resnet_digits --output runs/accuracy-digits
	$(BIN)/trevsnn ablate events --dataset digits --vary model=trevsnn_dvs --output runs/accuracy-events
	$(BIN)/trevsnn ablate events --dataset digits --recipe event_digits_bptt --vary model=ms_resnet_dvs --output runs/accuracy-events-bptt

mutants: $(BIN)/.developer runs/mutants/tests.jsonl  ## would a test notice? small changes of PACKAGES, COUNT of each
	$(BIN)/python tools/mutate.py run $(PACKAGES) --count $(COUNT) --seed $(SEED)

runs/mutants/tests.jsonl:
	$(BIN)/pip install --quiet --group mutation
	$(BIN)/python tools/mutate.py record

fuzz: $(BIN)/.developer  ## wrong files for every reader, MINUTES each; what it finds and where it stopped is kept in .fuzz
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m fuzzing --minutes $(MINUTES) --folder .fuzz

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
